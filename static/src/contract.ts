// What the API answers, and the options of fastlane's commands: written from the server's declarations by tests/support/generated.py.

/** Why an execution failed. */
export interface Failure {
  reason: "exit" | "oom" | "killed" | "image" | "rejected" | "unschedulable" | "host-lost" | "engine";
  message: string;
}

/** An execution in brief. */
export interface LastExecution {
  executionId: string;
  url: string;
  status: "enqueued" | "pulling" | "running" | "done" | "failed" | "timedout" | "stopped" | "expired";
  failure: Failure | null;
  createdAt: string;
  startedAt: string | null;
  finishedAt: string | null;
  exitCode: number | null;
}

/** A task in a list. */
export interface Task {
  taskId: string;
  createdAt: string;
  lastModifiedAt: string;
  jobsCount: number;
  jobsByStatus: Record<string, number>;
  lateJobs: number;
  nextRunAt: string | null;
  lastExecution: LastExecution | null;
  url: string;
}

/** A page of tasks. */
export interface TaskPage {
  items: Task[];
  total: number;
  page: number;
  pages: number;
  perPage: number;
  hasNext: boolean;
  hasPrev: boolean;
  nextUrl: string | null;
  prevUrl: string | null;
}

/** One entry of a cron that has several. */
export interface CronEntry {
  cron: string;
  timezone: string;
  resolved?: string;
  description: string;
  overlap?: "allow" | "skip" | "queue" | "replace";
  catchUp?: "latest" | "none";
}

/** When a job runs. */
export interface Schedule {
  kind: "now" | "at" | "cron" | "manual";
  startAt: string | null;
  cron?: string;
  timezone?: string;
  resolved?: string;
  description?: string;
  entries?: CronEntry[];
  after?: string[];
  afterOn?: "succeeds" | "fails" | "finishes";
  overlap?: "allow" | "skip" | "queue" | "replace";
  catchUp?: "latest" | "none";
  skipDates?: string[];
  spread?: number;
  delay?: number;
}

/** How many webhooks and addresses get each kind of message about a job. Webhooks of its pool count where it has none of its own. */
export interface ReceiverCounts {
  succeeds: number;
  fails: number;
  finishes: number;
  late: number;
  recovered: number;
  fixed: number;
  started: number;
}

/** A job in a list. */
export interface JobRow {
  id: string;
  url: string;
  taskId: string;
  name: string | null;
  labels: Record<string, string>;
  createdAt: string;
  lastModifiedAt: string;
  image: string | null;
  service: string | null;
  command: string | null;
  schedule: Schedule;
  status: "enqueued" | "pulling" | "running" | "done" | "failed" | "timedout" | "stopped" | "expired" | "scheduled" | "paused" | "idle";
  nextRunAt: string | null;
  lastExecution: LastExecution | null;
  expectEvery: number | null;
  doneBy: string | null;
  lateSince: string | null;
  receivers: ReceiverCounts;
}

/** A page of jobs. */
export interface JobPage {
  items: JobRow[];
  total: number;
  page: number;
  pages: number;
  perPage: number;
  hasNext: boolean;
  hasPrev: boolean;
  nextUrl: string | null;
  prevUrl: string | null;
}

/** The id and the URL of something. */
export interface Link {
  id: string;
  url: string;
}

/** How much memory the next attempt gets after one that ran out of it. */
export interface OnOutOfMemory {
  memory: string;
  max: number | null;
}

/** What its node keeps free for a container. */
export interface Reserved {
  cpus: number | null;
  memory: number | null;
  generic: Record<string, number>;
}

/** How much of a node a container gets; null: as much as its pool allows. */
export interface ResourcesAsked {
  cpus: number | null;
  memory: number | null;
  pids: number | null;
  reserve: Reserved;
}

/** Something mounted in a container. */
export interface Mounted {
  type: "bind" | "volume" | "tmpfs";
  source: string | null;
  target: string;
  readOnly: boolean;
  size: number | null;
}

/** A secret of the swarm that a container is given. */
export interface SecretGiven {
  name: string;
  target: string;
}

/** What a process may use of one thing. */
export interface UlimitGiven {
  soft: number;
  hard: number;
}

/** A config of the swarm that a container is given. */
export interface ConfigGiven {
  name: string;
  target: string;
  uid: number;
  gid: number;
  mode: string;
}

/** How a container is set up; null: as the image and the engine have it. */
export interface ContainerAsked {
  user: string | null;
  workdir: string | null;
  init: boolean | null;
  stopSignal: string | null;
  stopGrace: string | null;
  mounts: Mounted[];
  networks: string[];
  secrets: SecretGiven[];
  constraints: string[];
  extraHosts: Record<string, string>;
  entrypoint: string[] | null;
  hostname: string | null;
  readOnly: boolean | null;
  dns: string[];
  capAdd: string[];
  capDrop: string[];
  sysctls: Record<string, string>;
  ulimits: Record<string, UlimitGiven>;
  configs: ConfigGiven[];
}

/** Where an end is posted to. */
export interface Webhook {
  url?: string;
  headers?: Record<string, string>;
  retries: number;
  body?: Record<string, unknown>;
}

/** The webhooks of a job, by what starts the post. */
export interface Webhooks {
  succeeds: Webhook[];
  fails: Webhook[];
  finishes: Webhook[];
  late: Webhook[];
  recovered: Webhook[];
  fixed: Webhook[];
  started: Webhook[];
}

/** A job's own rules of retention, which count where they are stricter than the rules of its pool or the server. */
export interface RetentionRules {
  jobs: string | null;
  executions: string | null;
  maxExecutions: number | null;
  logs: string | null;
}

/** What a job runs, and by which rules. */
export interface Spec {
  image: string | null;
  service: string | null;
  command: string | null;
  envs: Record<string, string>;
  metadata: Record<string, unknown>;
  parameters: Record<string, Record<string, unknown>>;
  retries: number;
  retryDelay: number | null;
  retryOn: ("exit" | "oom" | "killed" | "image" | "rejected" | "unschedulable" | "host-lost" | "engine" | Record<string, unknown>)[] | null;
  onOom: OnOutOfMemory | null;
  pauseAfter: number | null;
  notifyAfter: number | null;
  timeout: number | null;
  expiration: string | null;
  expiresIn: number | null;
  priority: number;
  concurrency: number | null;
  concurrencyKey: string | null;
  unique: boolean;
  everywhere: string | null;
  resources: ResourcesAsked | null;
  container: ContainerAsked | null;
  webhooks: Webhooks;
  doneBy: string | null;
  retention: RetentionRules | null;
  annotations: boolean;
  expectEvery: number | null;
}

/** The service as whose container an execution runs, as it was read at the start. */
export interface ServiceVersion {
  id: string;
  version: number;
}

/** The end of an execution of another job, after which an execution was made. */
export interface UpstreamEnd {
  jobId: string;
  executionId: string;
  status: "enqueued" | "pulling" | "running" | "done" | "failed" | "timedout" | "stopped" | "expired";
}

/** One of the swarms or nodes on which a tick runs. */
export interface RunTarget {
  name: string;
  swarm: string;
  nodeId: string | null;
}

/** How long the log is so far. */
export interface LogInfo {
  stdoutBytes: number;
  stderrBytes: number;
  truncated: boolean;
}

/** What a container used, as far as it was measured while it ran. */
export interface Usage {
  memoryPeakBytes: number;
  cpuSeconds: number | null;
  readBytes: number | null;
  writtenBytes: number | null;
}

/** The user or token that made a request. */
export interface Requester {
  user: string | null;
  address: string | null;
}

/** Where an execution ran, under the names of fastlane 2.x. */
export interface Place {
  docker_host: string | null;
  docker_port: number | null;
  container_id: string | null;
}

/** An execution in full. */
export interface Execution {
  executionId: string;
  url: string;
  status: "enqueued" | "pulling" | "running" | "done" | "failed" | "timedout" | "stopped" | "expired";
  failure: Failure | null;
  createdAt: string;
  startedAt: string | null;
  finishedAt: string | null;
  exitCode: number | null;
  jobId: string;
  taskId: string;
  jobName: string | null;
  queueJobId: string;
  image: string | null;
  service: string | null;
  serviceVersion: ServiceVersion | null;
  imageDigest: string | null;
  command: string | null;
  parameters?: Record<string, string>;
  after?: UpstreamEnd[];
  attempt: number;
  retries: number;
  memoryLimitBytes: number | null;
  timeout: number | null;
  expiresAt: string | null;
  scheduledFor: string;
  dueAt?: string;
  target?: RunTarget;
  backfill?: string;
  durationMs: number | null;
  host: string | null;
  node: string | null;
  pool: string | null;
  serviceId: string | null;
  containerId: string | null;
  logInfo: LogInfo;
  usage: Usage | null;
  outputs: Record<string, string>;
  droppedOutputs?: string[];
  annotations?: boolean;
  stopRequestedAt: string | null;
  requestedBy: Requester | null;
  metadata: Place;
  log?: string;
  error?: string;
}

/** The e-mail addresses of a job, by what they get a mail about. */
export interface Listeners {
  succeeds: string[];
  fails: string[];
  finishes: string[];
  late: string[];
  recovered: string[];
  fixed: string[];
  started: string[];
}

/** What a job was given, under the names of fastlane 2.x. */
export interface JobMetadata {
  custom: Record<string, unknown>;
  envs: Record<string, string>;
  retries: number;
  timeout: number | null;
  cron: string | null;
  expiration: string | null;
  notify: Listeners;
  webhooks: Webhooks;
}

/** A webhook or an address that gets messages about a job. */
export interface Receiver {
  list: "succeeds" | "fails" | "finishes" | "late" | "recovered" | "fixed" | "started";
  kind: "webhook" | "mail";
  receiver?: string;
  ofPool: boolean;
}

/** The service whose labels declare a job. Only they change its definition. */
export interface JobSource {
  service: string;
  suffix: string | null;
  fault: string | null;
  gone: string | null;
}

/** The job as the body that PUT takes. Only redacted values (********) must be filled in before it is sent. */
export interface Definition {
  name?: string;
  labels?: Record<string, string>;
  image?: string;
  service?: string;
  command?: string | string[];
  envs?: Record<string, string>;
  parameters?: Record<string, Record<string, unknown>>;
  startAt?: string;
  cron?: string | (string | Record<string, unknown>)[];
  timezone?: string;
  manual?: boolean;
  after?: string | string[];
  afterOn?: "succeeds" | "fails" | "finishes";
  overlap?: "allow" | "skip" | "queue" | "replace";
  catchUp?: "latest" | "none";
  spread?: string;
  skipDates?: string[];
  retries?: number;
  retryDelay?: string;
  retryOn?: ("exit" | "oom" | "killed" | "image" | "rejected" | "unschedulable" | "host-lost" | "engine" | Record<string, unknown>)[];
  onOom?: OnOutOfMemory;
  pauseAfter?: number;
  notifyAfter?: number;
  timeout?: string;
  expiration?: string;
  expiresIn?: string;
  priority?: number;
  concurrency?: number;
  concurrencyKey?: string;
  unique?: boolean;
  everywhere?: "swarms" | "nodes";
  resources?: ResourcesAsked;
  container?: ContainerAsked;
  webhooks?: Webhooks;
  expectEvery?: string;
  doneBy?: string;
  notify?: Listeners;
  retention?: RetentionRules;
  annotations?: boolean;
  metadata?: Record<string, unknown>;
}

/** A job in full. */
export interface JobFull {
  id: string;
  url: string;
  taskId: string;
  createdAt: string;
  lastModifiedAt: string;
  scheduled: boolean;
  status: "enqueued" | "pulling" | "running" | "done" | "failed" | "timedout" | "stopped" | "expired" | "scheduled" | "paused" | "idle";
  nextRunAt: string | null;
  nextRuns: string[];
  spec: Spec;
  schedule: Schedule;
  executionCount: number;
  executions: Execution[];
  metadata: JobMetadata;
  requestedBy: Requester | null;
  createdBy: Requester | null;
  name: string | null;
  labels: Record<string, string>;
  lateSince: string | null;
  receivers: Receiver[];
  source: JobSource | null;
  definition: Definition;
}

/** A job with a page of its executions; the pagination is about these. */
export interface JobDetail {
  task: Link;
  job: JobFull;
  total: number;
  page: number;
  pages: number;
  perPage: number;
  hasNext: boolean;
  hasPrev: boolean;
  nextUrl: string | null;
  prevUrl: string | null;
}

/** A host of a pool. */
export interface PoolHost {
  host: string;
  weight: number;
  maxRunning: number | null;
  running: number;
  usable: boolean;
  reason: string | null;
}

/** What a container of a pool may ask for, as patterns. An empty list allows nothing. */
export interface Policy {
  user: string[];
  workdir: string[];
  init: boolean;
  stopSignal: string[];
  stopGrace: string | null;
  mounts: string[];
  networks: string[];
  secrets: string[];
  constraints: string[];
  extraHosts: string[];
  entrypoint: boolean;
  hostname: string[];
  dns: string[];
  capAdd: string[];
  sysctls: string[];
  ulimits: string[];
  configs: string[];
  generic: string[];
}

/** The most that a container of a pool may use, and what it gets when it does not ask; null: no limit. */
export interface Limits {
  cpus: number | null;
  memory: number | null;
  pids: number | null;
}

/** A pool: which tasks run there, on which hosts, how many at once, and what goes on. */
export interface Pool {
  name: string;
  match: string;
  hosts: PoolHost[];
  register: string[];
  maxRunning: number;
  fairShare: boolean;
  hardTimeout: number | null;
  running: number;
  waiting: number;
  paused: boolean;
  pull: "always" | "missing";
  policy: Policy;
  services: string[];
  limits: Limits;
}

/** All pools, in the order in which a task looks for its own. */
export interface Pools {
  items: Pool[];
}

/** A calendar in short. */
export interface CalendarSummary {
  name: string;
  calendarUrl: string;
  count: number;
  knownUntil: string | null;
  inSettings: boolean;
  usedBy: number;
  changedAt: string | null;
}

/** All calendars, by name. */
export interface Calendars {
  items: CalendarSummary[];
}

/** What answers. */
export interface About {
  version: string;
  executor: "swarm";
}

/** A worker that is alive. */
export interface Worker {
  id: string;
  version: string | null;
  startedAt: string;
  clockSkewMs: number | null;
  poolsCurrent: boolean | null;
}

/** The workers that are alive. */
export interface Workers {
  alive: number;
  items: Worker[];
}

/** The disk on which an engine keeps images and containers. */
export interface Disk {
  freeBytes: number | null;
  totalBytes: number | null;
  short: boolean;
  since: string | null;
  until: string | null;
}

/** A node of a swarm of several. */
export interface SwarmNode {
  id: string;
  name: string;
  state: string;
  takesWork: boolean;
  cpus: number | null;
  memoryBytes: number | null;
}

/** A Docker host of a pool, as the workers see it. */
export interface Host {
  id: string | null;
  host: string;
  port: number | null;
  pool: string;
  swarm: string | null;
  available: boolean;
  blacklisted: boolean;
  circuit: string | null;
  error: string | null;
  since: string | null;
  running: number;
  cpus: number | null;
  memoryBytes: number | null;
  disk: Disk | null;
  nodes: SwarmNode[];
  clockSkewMs: number | null;
}

/** A container that runs. */
export interface Container {
  host: string | null;
  port: number | null;
  task: string;
  job: string;
  execution: string;
  id: string | null;
  image: string | null;
  service: string | null;
  error: string | null;
}

/** What runs, up to a thousand. */
export interface Containers {
  running: Container[];
}

/** Whether all dispatch is paused. */
export interface Dispatch {
  paused: boolean;
  reason: string | null;
}

/** The pools that all processes must have: the ones that were read last. */
export interface PoolsRevision {
  revision: number;
  recordedAt: string | null;
  current: boolean;
  error: string | null;
}

/** How many entries of a pool's queue are in each state, and how many may run. */
export interface Lane {
  ready: number;
  timed: number;
  running: number;
  blocked: number;
  maxRunning: number;
  paused: boolean;
}

/** How many entries of a queue that no worker serves are in each state. */
export interface StrandedLane {
  ready: number;
  timed: number;
  running: number;
  blocked: number;
}

/** How many tasks there are. */
export interface TaskCount {
  count: number;
}

/** How many jobs have each status; null when there are too many to count in time. */
export interface JobsByStatus {
  enqueued: number;
  pulling: number;
  running: number;
  done: number;
  failed: number;
  timedout: number;
  stopped: number;
  expired: number;
  scheduled: number;
  paused: number;
  idle: number;
}

/** A job that is due some time. */
export interface Scheduled {
  taskId: string;
  jobId: string;
  name: string | null;
  url: string;
  nextRunAt: string | null;
  stopUrl: string;
}

/** A job that has not succeeded in time, by its expectEvery or doneBy. */
export interface LateJob {
  taskId: string;
  jobId: string;
  url: string;
  name: string | null;
  lateSince: string;
  expectEvery: number | null;
  doneBy: string | null;
}

/** How many jobs there are, and the next that are due. */
export interface JobCount {
  count: number;
  byStatus: JobsByStatus | null;
  scheduled: Scheduled[];
  late: LateJob[];
}

/** How many executions have each status. */
export interface ExecutionsByStatus {
  enqueued: number;
  pulling: number;
  running: number;
  done: number;
  failed: number;
  timedout: number;
  stopped: number;
  expired: number;
}

/** Executions of a host that have ended, but whose services are not removed yet. */
export interface Uncleaned {
  host: string | null;
  port: number | null;
  count: number;
  since: string | null;
}

/** A receiver of webhooks that no attempt has reached for a while. */
export interface FailingReceiver {
  receiver: string;
  failingSince: string;
  lastFailureAt: string;
  error: string;
  paused: boolean;
}

/** How webhooks fare. */
export interface WebhookStatus {
  failing: FailingReceiver[];
}

/** What goes on, at a glance. */
export interface ServerStatus {
  fastlane: About;
  uptime: number;
  workers: Workers;
  hosts: Host[];
  containers: Containers;
  dispatch: Dispatch;
  pools: PoolsRevision;
  queues: Record<string, Lane>;
  strandedQueues: Record<string, StrandedLane>;
  tasks: TaskCount;
  jobs: JobCount;
  executions: ExecutionsByStatus;
  uncleaned: Uncleaned[];
  webhooks: WebhookStatus;
}

/** A due time of a job, and what became of it. */
export interface Tick {
  id: string;
  due: string;
  until: string | null;
  count: number;
  atLeast: boolean;
  outcome: "started" | "queued" | "replaced" | "skipped" | "missed" | "expired" | "stopped";
  reason: string | null;
  execution: Link | null;
  entries?: string;
  createdAt: string;
  origin?: "start" | "schedule" | "hand" | "backfill" | "after";
}

/** A page of a job's tick ledger. */
export interface TickPage {
  items: Tick[];
  total: number;
  page: number;
  pages: number;
  perPage: number;
  hasNext: boolean;
  hasPrev: boolean;
  nextUrl: string | null;
  prevUrl: string | null;
}

/** What a backfill would run. */
export interface BackfillPreview {
  from: string;
  to: string;
  limit: number;
  total: number;
  dueTimes: string[];
  succeeded: number;
  underWay: number;
}

/** How late containers started after they were due, of the executions that ended in this hour. */
export interface HourLateness {
  started: number;
  meanMs: number | null;
  maxMs: number;
}

/** What ended within an hour. */
export interface HistoryHour {
  hour: string;
  done: number;
  failed: number;
  timedout: number;
  stopped: number;
  expired: number;
  lateness: HourLateness;
}

/** How executions ended, by the hour. They are counted when they end, and stay counted when they are removed. */
export interface History {
  since: string;
  until: string;
  hours: HistoryHour[];
}

/** An execution with its task and job. */
export interface ExecutionDetail {
  task: Link;
  job: Link;
  execution: Execution;
}

/** An execution in a list. */
export interface ExecutionRow {
  executionId: string;
  url: string;
  status: "enqueued" | "pulling" | "running" | "done" | "failed" | "timedout" | "stopped" | "expired";
  failure: Failure | null;
  createdAt: string;
  startedAt: string | null;
  finishedAt: string | null;
  exitCode: number | null;
  jobId: string;
  taskId: string;
  jobName: string | null;
  queueJobId: string;
  image: string | null;
  service: string | null;
  serviceVersion: ServiceVersion | null;
  imageDigest: string | null;
  command: string | null;
  parameters?: Record<string, string>;
  after?: UpstreamEnd[];
  attempt: number;
  retries: number;
  memoryLimitBytes: number | null;
  timeout: number | null;
  expiresAt: string | null;
  scheduledFor: string;
  dueAt?: string;
  target?: RunTarget;
  backfill?: string;
  durationMs: number | null;
  host: string | null;
  node: string | null;
  pool: string | null;
  serviceId: string | null;
  containerId: string | null;
  logInfo: LogInfo;
  usage: Usage | null;
  outputs: Record<string, string>;
  droppedOutputs?: string[];
  annotations?: boolean;
  stopRequestedAt: string | null;
  requestedBy: Requester | null;
  metadata: Place;
  log?: string;
  error?: string;
  expectEvery: number | null;
  receivers: ReceiverCounts;
}

/** A job with failed executions. */
export interface FailedJob {
  taskId: string;
  jobId: string;
  failures: number;
  lastFailure: ExecutionRow;
}

/** A page of jobs with failed executions. */
export interface FailedJobPage {
  items: FailedJob[];
  total: number;
  page: number;
  pages: number;
  perPage: number;
  hasNext: boolean;
  hasPrev: boolean;
  nextUrl: string | null;
  prevUrl: string | null;
}

/** An hour of a pool. */
export interface PoolHour {
  due: number;
  load: number | null;
  peak: number;
}

/** An hour that comes. Of the first hour, only the part from the beginning of the forecast on. */
export interface ForecastHour {
  hour: string;
  due: number;
  skipped: number;
  busiestMinute: string | null;
  busiestDue: number;
  quietMinutes: number;
  pools: Record<string, PoolHour>;
}

/** A pool of the forecast. */
export interface PoolRoom {
  maxRunning: number;
}

/** A job with a tick to come. */
export interface PlannedJob {
  taskId: string;
  jobId: string;
  jobUrl: string;
  name: string | null;
}

/** A minute in which several jobs are due. */
export interface Collision {
  minute: string;
  due: number;
  jobs: PlannedJob[];
}

/** Something remarkable about a job in the time of the forecast. */
export interface ForecastNote {
  kind: "overruns" | "timeout" | "clocks" | "skipped" | "ends" | "unknown";
  taskId: string;
  jobId: string;
  jobUrl: string;
  name: string | null;
  text: string;
}

/** A piece of a forecast: what the schedules will come to. */
export interface Forecast {
  from: string;
  to: string;
  jobs: number;
  atLeast?: boolean;
  hours: ForecastHour[];
  pools: Record<string, PoolRoom>;
  dueByMinute: number[];
  collisions: Collision[];
  notes: ForecastNote[];
  noteCounts: Record<string, number>;
  nextUrl: string | null;
}

/** What a job would do to the forecast of its pool, by itself. */
export interface ForecastImpact {
  until: string;
  due: number;
  sharedMinutes: number;
  fullestMinute: string | null;
  othersThen: number;
  peakBefore: number;
  peakWith: number;
  fullHoursBefore: number;
  fullHoursWith: number;
  maxRunning: number;
  quietMinutes: number[];
  usualDuration: number | null;
}

/** A due time that will come. */
export interface PlannedRun {
  due: string;
  taskId: string;
  jobId: string;
  jobUrl: string;
  name: string | null;
  pool: string;
  executions: number;
  usualDuration: number | null;
  skipped: string | null;
}

/** Due times that will come, soonest first. */
export interface PlannedRuns {
  from: string;
  to: string;
  items: PlannedRun[];
  nextUrl: string | null;
}

/** A host that cannot be used. */
export interface HostDown {
  host: string;
  reason: string;
  since: string | null;
  circuit?: string;
  faults?: number;
  retryAt?: string;
}

/** One thing that is waited for. Its reason decides which keys follow until. */
export interface Wait {
  reason: "due" | "manual" | "after" | "retry" | "paused" | "no-pool" | "no-queue" | "no-worker" | "dispatch-paused" | "pool-paused" | "other-lane" | "no-host" | "pool-full" | "workers-full" | "concurrency" | "overlap" | "registry" | "no-node" | "image" | "host-away" | "refused" | "breaker" | "node-down" | "service-gone" | "store" | "fault" | "stop" | "labels" | "backfill";
  message: string;
  since: string | null;
  until: string | null;
  heldTick?: string;
  resumeUrl?: string;
  pool?: string | null;
  running?: number;
  maxRunning?: number;
  ready?: number;
  ownBefore?: number;
  otherTasks?: number;
  nextTasks?: string[];
  hosts?: HostDown[];
  concurrency?: number;
  concurrencyKey?: string;
  takenBy?: string[];
  executionId?: string | null;
  image?: string;
  service?: string;
  host?: string | null;
  attempt?: number;
}

/** How much memory an execution that ran out of it had, and how much it used. */
export interface OutOfMemory {
  message: string;
  limitBytes: number | null;
  peakBytes: number | null;
}

/** How many ticks of a job failed in a row, of a job whose rules count them. */
export interface FailuresInRow {
  message: string;
  count: number;
}

/** One attempt of a delivery. */
export interface DeliveryAttempt {
  at: string;
  durationMs: number;
  status: number | null;
  error: string | null;
  excerpt: string;
}

/** A message about an execution or a job to a webhook or an e-mail address. */
export interface Delivery {
  id: string;
  kind: "webhook" | "mail";
  event: string;
  list: "succeeds" | "fails" | "finishes" | "late" | "recovered" | "fixed" | "started";
  receiver?: string;
  state: "pending" | "delivered" | "failed" | "held";
  createdAt: string;
  nextAttemptAt: string | null;
  attemptsMade: number;
  attemptsLeft: number;
  receiverPaused: boolean;
  attempts: DeliveryAttempt[];
  redeliverUrl: string;
}

/** That a job has not succeeded in time, by its expectEvery or doneBy, and who should know. */
export interface Late {
  message: string;
  since: string;
  expectEvery: number | null;
  doneBy: string | null;
  lastSuccessAt: string | null;
  receivers: number;
  deliveries: Delivery[];
}

/** When a job that is not late will be, without another success, and who would get a message. */
export interface Expected {
  message: string;
  lateAt: string | null;
  expectEvery: number | null;
  doneBy: string | null;
  lastSuccessAt: string | null;
  receivers: number;
  deliveries: Delivery[];
}

/** What a job or an execution waits for now: nothing, one thing or several; and why its last end or due time was not as wanted. */
export interface Why {
  status: "enqueued" | "pulling" | "running" | "done" | "failed" | "timedout" | "stopped" | "expired" | "scheduled" | "paused" | "idle";
  waitingFor: Wait[];
  node: string | null;
  outOfMemory?: OutOfMemory;
  failures?: FailuresInRow;
  lastTick?: Tick;
  late?: Late;
  expected?: Expected;
}

/** A job at the other end of a link. Its task, name and status are null when it is gone, or when you may not see it. */
export interface LinkedJob {
  jobId: string;
  taskId: string | null;
  name: string | null;
  url: string | null;
  gone: boolean;
  status: string | null;
  lastExecution: LastExecution | null;
  arrived: string | null;
}

/** What a job follows, and what follows it. */
export interface Chain {
  taskId: string;
  jobId: string;
  afterOn?: "succeeds" | "fails" | "finishes";
  follows: LinkedJob[];
  followedBy: LinkedJob[];
}

/** Something that somebody or fastlane did. */
export interface Event {
  id: string;
  time: string;
  kind: "job.created" | "job.changed" | "job.run" | "job.retried" | "job.paused" | "job.resumed" | "job.stopped" | "job.deleted" | "task.stopped" | "task.deleted" | "labels.refused" | "labels.limited" | "backfill.begun" | "backfill.ended" | "tick.skipped" | "tick.missed" | "tick.expired" | "tick.followed" | "execution.enqueued" | "execution.started" | "execution.stop" | "execution.ended" | "execution.ended-by-hand" | "execution.marked-cleaned" | "delivery.requested" | "host.registered" | "host.drained" | "host.undrained" | "host.removed" | "host.unusable" | "host.usable" | "pool.paused" | "pool.resumed" | "calendar.written" | "calendar.deleted" | "pools.reloaded" | "dispatch.paused" | "dispatch.resumed" | "queue.rebuild" | "queue.rebuilt" | "worker.forgotten" | "login" | "login.refused" | "access.refused";
  actor: Requester | null;
  taskId: string | null;
  jobId: string | null;
  executionId: string | null;
  host: string | null;
  pool: string | null;
  detail: Record<string, unknown>;
  url: string | null;
}

/** A page of events, newest first. With filters that take few events a page may have fewer than perPage, or none, and yet a next one. */
export interface EventPage {
  items: Event[];
  perPage: number;
  hasNext: boolean;
  nextUrl: string | null;
}

/** The deliveries about a job itself: that it was late, and that it has recovered. They are few, so they are not paginated. */
export interface JobDeliveries {
  jobId: string;
  jobUrl: string;
  items: Delivery[];
}

/** Figures over runs, as whole numbers. */
export interface Figures {
  runs: number;
  newest: number | null;
  least: number | null;
  median: number | null;
  p95: number | null;
  most: number | null;
  olderMedian: number | null;
  newerMedian: number | null;
}

/** Figures over runs, in seconds. */
export interface FiguresInSeconds {
  runs: number;
  newest: number | null;
  least: number | null;
  median: number | null;
  p95: number | null;
  most: number | null;
  olderMedian: number | null;
  newerMedian: number | null;
}

/** A run that has ended, and what it took. */
export interface MeasuredRun {
  executionId: string;
  status: "done" | "expired" | "failed" | "stopped" | "timedout";
  attempt: number;
  startedAt: string | null;
  finishedAt: string | null;
  durationMs: number | null;
  memoryPeakBytes: number | null;
  cpuSeconds: number | null;
  outputBytes: number;
}

/** What a job's runs took: figures over a page of its executions, and each run of it. Executions that have not started or not ended are not counted. */
export interface JobStats {
  task: Link;
  job: Link;
  executions: number;
  runs: number;
  ended: Record<string, number>;
  durationMs: Figures;
  memoryPeakBytes: Figures;
  cpuSeconds: FiguresInSeconds;
  outputBytes: Figures;
  items: MeasuredRun[];
  total: number;
  page: number;
  pages: number;
  perPage: number;
  hasNext: boolean;
  hasPrev: boolean;
  nextUrl: string | null;
  prevUrl: string | null;
}

/** A piece of advice on a job's definition, from what is stored of its runs and due times. */
export interface Advice {
  code: "memory-ran-out" | "memory-near-limit" | "memory-far-below-limit" | "memory-without-limit" | "memory-far-below-reserve" | "cpus-near-limit" | "cpus-far-below-limit" | "timeout-reached" | "timeout-near" | "timeout-far" | "overlap-skips" | "overlap-stops" | "retries-never-help" | "always-fails" | "always-expires" | "never-done-by" | "slow-to-start";
  message: string;
  change: string;
  field: string | null;
  current: string | number | null;
  suggested: string | number | null;
  figures: Record<string, number>;
}

/** The advice on a job. */
export interface JobAdvice {
  taskId: string;
  jobId: string;
  jobUrl: string;
  name: string | null;
  executions: number;
  ticks: number;
  advice: Advice[];
}

/** The option of each field that has one of its own. */
export const OPTIONS: Record<string, string> = {
  "service": "--service",
  "envs": "--env",
  "startIn": "--in",
  "startAt": "--at",
  "cron": "--cron",
  "timezone": "--timezone",
  "manual": "--manual",
  "after": "--after",
  "afterOn": "--after-on",
  "overlap": "--overlap",
  "catchUp": "--catch-up",
  "spread": "--spread",
  "skipDates": "--skip-date",
  "retries": "--retries",
  "retryDelay": "--retry-delay",
  "pauseAfter": "--pause-after",
  "notifyAfter": "--notify-after",
  "timeout": "--timeout",
  "expiresIn": "--expires-in",
  "priority": "--priority",
  "concurrency": "--concurrency",
  "concurrencyKey": "--concurrency-key",
  "unique": "--unique",
  "everywhere": "--everywhere",
  "name": "--name",
  "labels": "--label",
  "doneBy": "--done-by",
  "annotations": "--no-annotations",
  "onOom.memory": "--on-oom",
  "onOom.max": "--on-oom-max",
  "resources.cpus": "--cpus",
  "resources.memory": "--memory",
  "resources.reserve.generic": "--generic-resource",
  "container.user": "--user",
  "container.workdir": "--workdir",
  "container.networks": "--network",
  "container.entrypoint": "--entrypoint",
  "container.hostname": "--hostname",
  "container.readOnly": "--read-only",
  "container.dns": "--dns",
  "container.capAdd": "--cap-add",
  "container.capDrop": "--cap-drop",
  "container.sysctls": "--sysctl",
  "container.ulimits": "--ulimit",
};

/** Options whose value is a duration: seconds where the body has a number. */
export const DURATIONS = ["spread", "retryDelay", "timeout", "expiresIn"];

/** Options without a value, which set true. */
export const FLAGS = ["manual", "unique", "container.readOnly"];

/** Options without a value, which set false. */
export const OFFS = ["annotations"];

/** Options that may be given several times: with a text of a list, or with a name and its value. */
export const LISTS = ["after", "skipDates", "container.networks", "container.dns", "container.capAdd", "container.capDrop"];
export const PAIRS = ["envs", "labels", "resources.reserve.generic", "container.sysctls", "container.ulimits"];
