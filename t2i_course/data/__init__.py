"""Images and captions in: read, checked, and handed on as tensors."""
