"""Photos through a network: views, precision, and a run that goes on where it was killed."""
