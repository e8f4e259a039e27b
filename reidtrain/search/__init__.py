"""Find the gallery images nearest to a query, in galleries of any size."""

from .exact import search
from .gallery import Gallery, Nearest

__all__ = ["Gallery", "Nearest", "search"]
