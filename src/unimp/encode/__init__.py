"""`UserSentence` -> `Batch`: vocabulary, tokenizer, item content, pictures, the feature cache."""
