"""The documentation: `generate` writes its generated pages, the tests hold the rest to the truth."""
