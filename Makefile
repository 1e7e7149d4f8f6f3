# Each target is one script in scripts/.
.DEFAULT_GOAL := help
.PHONY: help run stop test check lock clean

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /make \1	/p' $(MAKEFILE_LIST) | expand -t 14

run: ## set everything up, start fastlane on port 10000 and run the how-to's first job
	@scripts/run

stop: ## end what `make run` started; data are kept
	@scripts/stop

test: ## everything: style, types, and all tests on a private Docker engine (ARGS='-k name' for pytest)
	@scripts/test $(ARGS)

check: ## style, types and unit tests; no engine, under a minute
	@scripts/check

lock: ## write requirements/*.txt anew: newest versions that fit, hashed
	@scripts/lock

clean: ## stop, then take away all that was made
	@scripts/clean
