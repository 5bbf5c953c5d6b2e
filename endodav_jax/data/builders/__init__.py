"""TFDS builders: write any source as an ordinary TFDS data set of ArrayRecord files, without TensorFlow."""
