"""Operating Referee: its processes, jobs, workers, integrity and backups."""
