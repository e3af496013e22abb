"""The doctor: looks at every picture and label of a dataset and says what is wrong before a training run does."""
