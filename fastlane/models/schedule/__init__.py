"""When jobs run: cron expressions, ticks and retries."""
