"""TFDS builders: any source written as an ordinary TFDS data set of ArrayRecord files, without TensorFlow."""
