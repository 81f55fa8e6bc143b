"""Second stage: a method's scores and the relations of history and candidate, fitted on held-back targets."""
