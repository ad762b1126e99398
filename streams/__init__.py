"""Everything that runs beside the API: Kafka consumers, the relay and the sweeper."""
