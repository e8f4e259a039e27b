"""Find the gallery images nearest to a query, in galleries of any size."""
