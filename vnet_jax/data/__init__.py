"""From folders of CTs to batches: cases, splits, cache, phantoms, loader."""
