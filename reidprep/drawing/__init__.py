"""What is drawn over a person: one scene, drawn as pixels and as SVG; colours and style sheets of all pages."""
