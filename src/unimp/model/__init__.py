"""Tensors only: vision encoder, backbone, gated cross-attention, item table. Imports no other room."""
