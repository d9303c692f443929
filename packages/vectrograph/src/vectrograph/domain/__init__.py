"""The rules of the subject: values, filters, distances, limits, errors. No framework, no I/O."""
