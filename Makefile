# Each target is one script in scripts/.
.DEFAULT_GOAL := help
.PHONY: help run stop test test-crash test-long test-model test-faults test-mongo chaos soak proof-peers bench bench-quick bench-peers check image dist site lock clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /make \1	/p' $(MAKEFILE_LIST) | expand -t 17

run: ## set everything up, start fastlane on port 10000 and run the README's first job
	@scripts/run

stop: ## stop what `make run` started; the data stays
	@scripts/stop

test: ## check style and types, and run all tests except the long ones, on a private Docker engine (ARGS='-k name' for pytest)
	@scripts/test $(ARGS)

test-crash: ## kill, freeze and cut off fastlane at every step of a job; about 5 minutes (ARGS='-k name' for pytest)
	@scripts/test-crash $(ARGS)

test-long: ## run the long tests: a thousand jobs, and repeated faults of several managers (ARGS='-k name' for pytest)
	@scripts/test-long $(ARGS)

test-model: ## explore the specification whole, run 1,000 random programs in virtual time, and find planted faults (FASTLANE_MODEL_SEEDS)
	@scripts/test-model $(ARGS)

test-faults: ## make faults in copies of the code and check that tests find them; about 5 minutes (ARGS=all for every one)
	@scripts/test-faults $(ARGS)

test-mongo: ## run the tests of the store, the HTTP suite and the tests of behaviour on MongoDB (FASTLANE_TEST_MONGO_URL, or a server of its own)
	@scripts/test-mongo $(ARGS)

chaos: ## run jobs on three managers amid faults, and judge what became of them (SEED=1 MINUTES=5 STORE=mongo)
	@SEED="$(SEED)" MINUTES="$(MINUTES)" STORE="$(STORE)" PLANT="$(PLANT)" scripts/chaos

soak: ## run fastlane under a steady load for hours, and fail when something grows (HOURS=1 RATE=0.5; ARGS=--page for docs/proof.md)
	@HOURS="$(HOURS)" RATE="$(RATE)" scripts/soak $(ARGS)

proof-peers: ## strike other schedulers and fastlane with the same faults and update docs/proof.md; 20 minutes (ARGS='cron celery')
	@scripts/proof-peers $(ARGS)

bench: ## measure fastlane against a bare baseline and update docs/performance.md; 40 minutes (ARGS='--only enqueue')
	@scripts/bench $(ARGS)

bench-quick: ## count what a job costs, and fail when that has grown; one to two minutes, no engine (ARGS=--accept for new expectations)
	@scripts/bench-quick $(ARGS)

bench-peers: ## measure fastlane against other job queues and schedulers and update docs/performance.md; 40 minutes (ARGS='--only celery')
	@scripts/bench-peers $(ARGS)

check: ## check style and types and run the unit tests; under a minute, without an engine
	@scripts/check

image: ## build the image fastlane:latest, and lists of what is in it, in dist/ (IMAGE=name, ARGS for docker build)
	@scripts/image $(ARGS)

dist: ## make a release of the tagged commit in dist/ and check it (ARGS='--untagged' for a trial)
	@scripts/dist $(ARGS)

site: ## build the documentation as a site in dist/site, with search, and check its links
	@scripts/site

lock: ## update requirements/*.txt to the newest compatible versions, with hashes
	@scripts/lock

clean: ## stop, then remove everything that the other targets made
	@scripts/clean
