"""TFRecord shards without TensorFlow: their framing and checksums, `tf.train.Example`, where the photos in them lie.

In: files, or a pattern with features named (`records/*.tfrec:name=image_id`). Out: records, a table of what is small in
them, and the place of every photo's bytes. Imports `cv.errors` alone; google-crc32c (extra `records`) on first use.
"""

from cv.tfrecords.features import RecordPhoto, photos_of
from cv.tfrecords.shard import Shard
from cv.tfrecords.spec import Spec, are_records, read_spec
from cv.tfrecords.table import read_record_table

__all__ = ["RecordPhoto", "Shard", "Spec", "are_records", "photos_of", "read_record_table", "read_spec"]
