"""What the papers print: their tables, the variants that these compare, and the networks' complexity."""
