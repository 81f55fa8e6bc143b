"""Pretrained language models as decoders: where they are, how they take pictures, which rows are added."""
