"""Measure pictures (HICO-DET, V-COCO) and events against ground truth; numpy and scipy only."""
