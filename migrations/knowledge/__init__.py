"""Lane `knowledge`: documents, their passages, the generations of their index, and the wiki."""
