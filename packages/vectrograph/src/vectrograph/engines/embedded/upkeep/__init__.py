"""Background work: building, extending, compacting and saving the index, and measuring its recall."""
