"""From measured joints to complete joints, boxes and flags (paper 1, section 3.2). Pure functions on arrays."""
