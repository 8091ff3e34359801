"""Files that several processes and machines share: object stores, copies, atomic writes."""
