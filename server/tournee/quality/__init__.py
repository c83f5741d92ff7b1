"""Quality: standards and their clauses, audits with answers, scores and findings."""
