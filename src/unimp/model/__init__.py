"""Tensors only: vision encoder, language backbone, gated cross-attention, item table. Imports no other room."""
