"""The commands, a file a panel of `--help`.

In: words of the command line. Out: a public function's result, printed.
Imports `ensemble`'s public functions where they are called.
"""
