"""Lane `stores`: the points of the embedded `Vectors` backend."""
