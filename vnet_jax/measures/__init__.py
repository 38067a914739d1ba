"""What a mask says about a kidney and each of its tumours; `docs/measures.md`."""
