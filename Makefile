# Each target is one script in scripts/.
.DEFAULT_GOAL := help
.PHONY: help run stop test test-crash test-long test-model bench bench-peers check lock clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /make \1	/p' $(MAKEFILE_LIST) | expand -t 17

run: ## set everything up, start fastlane on port 10000 and run the how-to's first job
	@scripts/run

stop: ## end what `make run` started; data are kept
	@scripts/stop

test: ## style, types, and all tests but the long ones, on a private Docker engine (ARGS='-k name' for pytest)
	@scripts/test $(ARGS)

test-crash: ## kill, freeze and cut off fastlane at every point of a job's way: some 5 minutes (ARGS='-k name' for pytest)
	@scripts/test-crash $(ARGS)

test-long: ## what takes minutes: a thousand jobs, and faults of several managers again and again (ARGS='-k name' for pytest)
	@scripts/test-long $(ARGS)

test-model: ## the model test: 1,000 random programs in virtual time, and faults that it must find (FASTLANE_MODEL_SEEDS)
	@scripts/test-model $(ARGS)

bench: ## what fastlane costs, beside the bare thing, into docs/performance.md: 20 minutes (ARGS='--only enqueue')
	@scripts/bench $(ARGS)

bench-peers: ## other job queues on Redis beside fastlane, into docs/performance.md: 15 minutes (ARGS='--only celery')
	@scripts/bench-peers $(ARGS)

check: ## style, types and unit tests; no engine, under a minute
	@scripts/check

lock: ## write requirements/*.txt anew: newest versions that fit, hashed
	@scripts/lock

clean: ## stop, then take away all that was made
	@scripts/clean
