"""People: technicians, their skills, territories, shifts and absences."""
