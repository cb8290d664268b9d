"""How values become bytes and come back as what they were."""
