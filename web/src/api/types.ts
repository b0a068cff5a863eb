// Generated from the protos by `make generate`. Do not edit.
//
// The JSON of responses: lists, maps, numbers, strings and booleans are always there, enums and messages if they are
// set. 64-bit integers are strings; times are RFC 3339, and durations seconds such as "1.5s".

/** The response of `AcceptInvitation`. */
export interface AcceptInvitationResponse {
  /** The organization. */
  organization?: Organization;
  /** The role that the user has there now. */
  role?: OrganizationRole;
}

/** Files that a task has saved for people. */
export interface Artifact {
  /** The artifact's id, unique in its run. */
  id: string;
  /** The name that the configuration gives to it. */
  name: string;
  /** The id of the task that saved it. */
  taskId: string;
  /** The name of that task. */
  taskName: string;
  /** The index of the step that saved it. */
  step: number;
  /** The number of bytes of its ZIP file. */
  sizeBytes: string;
  /** The number of files in it. */
  fileCount: number;
  /** The SHA-256 of the ZIP file, in hex. */
  sha256: string;
}

/** An attempt to run a task. */
export interface Attempt {
  /** The number of the attempt, from 1. */
  attempt: number;
  /** The id of the assignment. */
  assignmentId: string;
  /** The id of the executor. */
  executorId: string;
  /** `TASK_STATUS_RUNNING`, or how the attempt ended. */
  status?: TaskStatus;
  /** Why the attempt ended in this way, if the status does not explain it. */
  reason?: Reason;
  /** Whether the attempt timed out. */
  timedOut: boolean;
  /** When the pod of the attempt started. */
  startTime?: string;
  /** When the attempt ended. */
  endTime?: string;
  /** The setup of the pod. */
  setupStep?: Step;
  /** The steps. */
  steps: Step[];
}

/** What somebody changed. */
export interface AuditRecord {
  /** The record's id, a UUIDv7. */
  id: string;
  /** When it was changed. */
  time?: string;
  /** What the caller was: `user` or `operator`. */
  callerKind: string;
  /** The id of the caller. */
  callerId: string;
  /** The present name of the caller. Empty: the user is gone. */
  callerName: string;
  /** The method that was called, such as `DeleteProject`. */
  method: string;
  /** What was changed, such as `project`. */
  resourceType: string;
  /** The id of what was changed. */
  resourceId: string;
  /** Its path or name before the change, or after it if it was created. */
  resourcePath: string;
  /** The id of the user or the organization to which it belonged. Empty: to none, or it was recorded by an older version. */
  parentId: string;
  /** What was changed of it, such as `visibility: public`. Never the value of a secret. */
  details: string[];
  /** The network address from which the server was called: that of the gateway, for calls over HTTP. For operators only. */
  peer: string;
  /** The address that the caller had, as the gateway said. For operators only. */
  forwardedFor: string;
}

/** A run of a configuration. */
export interface ConfiguredRun {
  /** The name of the run. */
  name: string;
  /** The inputs that it declares, without values. */
  inputs: Input[];
  /** Whether its `when` matches the ref. */
  applies: boolean;
}

/** An image that a container was made of. */
export interface ContainerImage {
  /** The name in the definition. */
  name: string;
  /** The digest that the name stood for, such as `sha256:...`. */
  digest: string;
}

/** The response of `CreateInvitation`. */
export interface CreateInvitationResponse {
  /** The invitation. */
  invitation?: Invitation;
  /** The code with which it is accepted, once. Empty: it is for a user. */
  code: string;
}

/** The response of `CreateToken`. */
export interface CreateTokenResponse {
  /** The token. */
  token?: Token;
  /** Its text. Keep it: it is not stored. */
  text: string;
}

/** The rule that decided on a delivery, or on one run of the configuration at it. */
export type DecisionReason =
  | "DECISION_REASON_RUN_CREATED"
  | "DECISION_REASON_RUN_EXISTS"
  | "DECISION_REASON_SETUP_ERROR"
  | "DECISION_REASON_WHEN"
  | "DECISION_REASON_PATHS"
  | "DECISION_REASON_SKIP_WORD"
  | "DECISION_REASON_REF_DELETED"
  | "DECISION_REASON_COMMIT_GONE"
  | "DECISION_REASON_EVENT_IGNORED"
  | "DECISION_REASON_OTHER_REPOSITORY"
  | "DECISION_REASON_CONFIGURATION_READ"
  | "DECISION_REASON_FAILED"
  | "DECISION_REASON_ASKED_FOR"
  | "DECISION_REASON_RUN_UNKNOWN"
  | "DECISION_REASON_VARIABLE_REFUSED"
  | "DECISION_REASON_QUOTA"
  | "DECISION_REASON_INPUTS";

/** A delivery of a webhook. */
export interface Delivery {
  /** The delivery's id, a UUIDv7. */
  id: string;
  /** The id of the project. */
  projectId: string;
  /** The id that the provider gave it. Empty: none. */
  providerId: string;
  /** When it was received. */
  receiveTime?: string;
  /** The event, such as `push`, `tag`, `pull_request synchronized`, `ping`, or `manual`. `push caught_up` and `tag caught_up` were not sent by the provider: the commit was found in the list of its refs. */
  event: string;
  /** The full name of the ref, such as `refs/heads/main`. Of a pull request: the ref of its head in the project's repository. */
  ref: string;
  /** The commit. */
  commitSha: string;
  /** The number of the pull request. Empty: none. */
  pullRequestId: string;
  /** Whether the pull request comes from a fork. */
  fromFork: boolean;
  /** The message of the commit; a long one is cut. */
  message: string;
  /** How far it is. */
  phase?: DeliveryPhase;
  /** The rule that decided on it. */
  reason?: DecisionReason;
  /** The decision in a sentence, or why it has to be tried again. */
  sentence: string;
  /** The decision on each run of the configuration, in the order of the file. */
  decisions: RunDecision[];
  /** When work on it ended. */
  doneTime?: string;
  /** How often it was delivered again through this API. */
  redeliveries: number;
  /** Of runs by hand: the variables that were chosen for them. */
  variables: Record<string, string>;
  /** Of runs by hand and of a schedule: the values that were given to inputs. */
  inputs: Record<string, string>;
}

/** How far a delivery is. */
export type DeliveryPhase =
  | "DELIVERY_PHASE_PENDING"
  | "DELIVERY_PHASE_DONE"
  | "DELIVERY_PHASE_FAILED";

/** An edge of the graph. A task runs if all of its edges hold. An edge holds if one of its conditions does. */
export interface Depend {
  /** The name of the parent task. */
  task: string;
  /** The accepted outcomes of the parent. Empty: `ON_SUCCESS`. */
  conditions: DependCondition[];
}

/** An outcome of a parent task that lets the child run. */
export type DependCondition =
  | "DEPEND_CONDITION_ON_SUCCESS"
  | "DEPEND_CONDITION_ON_FAILURE"
  | "DEPEND_CONDITION_ON_SKIPPED"
  | "DEPEND_CONDITION_ON_STOPPED"
  | "DEPEND_CONDITION_ALWAYS";

/** The login of a program that waits to be confirmed. */
export interface DeviceLogin {
  /** What the person compares. */
  userCode: string;
  /** What the program says of itself. */
  clientName: string;
  /** The network address that it called from. */
  address: string;
  /** When it began. */
  createTime?: string;
}

/** An executor. */
export interface Executor {
  /** The id of the executor, unique in its group. If executors of several groups have the same id, methods that take an id use the one whose group comes first. */
  id: string;
  /** The name of the executor's group. */
  group: string;
  /** The ids of the other live executors of the group, sorted. */
  siblings: string[];
  /** The version of the executor's software. */
  version: string;
  /** The architectures of the tasks that the executor can run. */
  archs: string[];
  /** The labels that tasks can require. */
  labels: Record<string, string>;
  /** The number of tasks that the executor can run at the same time. */
  slots: number;
  /** The number of assignments that the executor holds. */
  slotsUsed: number;
  /** Whether the executor runs privileged containers. */
  privilegedAllowed: boolean;
  /** The names of the drivers of the executor. */
  drivers: string[];
  /** Whether the executor may vanish at any time, and be cleaned up by its siblings. */
  dynamic: boolean;
  /** Whether an operator has drained the executor: it gets no more tasks. */
  draining: boolean;
  /** Whether the executor is connected. */
  online: boolean;
  /** When the executor last connected or disconnected. */
  lastSeenTime?: string;
  /** When the executor's session started. */
  sessionTime?: string;
  /** Whether the executor is draining and runs no task any more. */
  drained: boolean;
  /** It is draining, and what still runs then is lost. Not set: there is no limit. */
  drainDeadline?: string;
  /** Whether it was missing for so long that its session ended. Its siblings remove its pods, and its tasks are lost then. */
  vanished: boolean;
  /** The assignments that it holds, the oldest first; of runs that the caller may see. Only in `GetExecutor`. */
  assignments: ExecutorAssignment[];
}

/** An attempt of a task that an executor holds. Its pod has the assignment's id as a label or name. */
export interface ExecutorAssignment {
  /** The id of the assignment. */
  id: string;
  /** The id of the run. */
  runId: string;
  /** The number of the run. */
  runNumber: string;
  /** The group of the run. */
  group: string;
  /** The id of the task. */
  taskId: string;
  /** The name of the task. */
  taskName: string;
  /** The number of the attempt, from 1. */
  attempt: number;
  /** When it was assigned. */
  assignTime?: string;
  /** When its pod started. Not set: it has not. */
  startTime?: string;
}

/** A group of executors that share a place, such as a Kubernetes namespace, and can clean up after each other. */
export interface ExecutorGroup {
  /** The name of the group: letters, digits and single inner hyphens, a letter first. */
  name: string;
  /** The ids of the live executors of the group, sorted. */
  executorIds: string[];
  /** The users, organizations, project groups and projects whose runs the group serves, with all below them. In requests a path or an id of each; in responses its path, sorted. Empty, and not `servesAll`, when the group is created: the creator, and the organizations that the creator owns. */
  serves: string[];
  /** Whether the group serves all runs. Then `serves` is empty. */
  servesAll: boolean;
  /** Whether the group takes runs of pull requests from forks. Executors with the driver `host` never do. */
  takesForks: boolean;
  /** When the group was created. Not set: it has no settings of its own. */
  createTime?: string;
  /** The number of executors of the group, live or not. */
  executors: number;
  /** The slots of its live executors that are not drained. */
  slots: number;
  /** The number of assignments that its executors hold. */
  slotsUsed: number;
  /** The number of tokens of the group that are valid. */
  tokens: number;
}

/** The response of `FindLogError`. */
export interface FindLogErrorResponse {
  /** The excerpt. */
  excerpt?: LogExcerpt;
}

/** The response of `GetDeviceLogin`. */
export interface GetDeviceLoginResponse {
  /** The login. */
  deviceLogin?: DeviceLogin;
}

/** The response of `GetLogIndex`. */
export interface GetLogIndexResponse {
  /** The index. */
  index?: LogIndex;
}

/** The response of `GetQuota`. */
export interface GetQuotaResponse {
  /** What an operator has set for the node itself. */
  quota?: Quota;
  /** What counts for the node: for `projects`, `runningTasks` and `tokens` its own quota or that of the installation, for the other fields the nearest one. 0: no limit. */
  effective?: Quota;
  /** What the node has. 1,000 is 1,000 or more. Not set for `installation`. */
  usage?: Quota;
}

/** A repository that is read with git alone. */
export interface GitRepository {
  /** The URL: `https://`, `http://` (without a password), `ssh://`, or `user@host:path`. */
  url: string;
  /** The user name for a URL of https. Empty: it is read without a password. */
  username: string;
  /** The password or token of that user. Only in requests. Empty in an update: the stored one is kept, if the host and the user name are the same. */
  password: string;
  /** The SSH host key of the host: a line of known_hosts, or the type and the base64 of the key. Required for a URL of SSH, for which the project has a `deployKey` that its host has to accept. */
  sshHostKey: string;
  /** The time between two lists of its branches and tags, 10 s to a day. Not set: one minute. */
  pollInterval?: string;
}

/** What ended a hold. */
export type HoldAction =
  | "HOLD_ACTION_RUN_FAILED_STEP"
  | "HOLD_ACTION_RUN_NEXT_STEP"
  | "HOLD_ACTION_RELEASE";

/** An input of a run: a value that whoever starts the run may choose. Everybody who can see the run can see it, so a secret must not be an input. */
export interface Input {
  /** The name: a lower-case letter, then lower-case letters, digits and underscores. Tasks have the value in the environment variable `SLUICE_INPUT_` with the name in upper case. */
  name: string;
  /** The type of the value. */
  type?: InputType;
  /** The value if none is given. Not set: the empty string, 0, false or the first option. */
  defaultValue?: string;
  /** The values that an input of type choice may have. */
  options: string[];
  /** A regular expression (RE2) that matches the whole value of an input of type string. Empty: any. */
  pattern: string;
  /** What it is for. */
  description: string;
  /** Whether a value must be given if there is no default. */
  required: boolean;
  /** The value, as text. In a request, not set: the default. */
  value?: string;
}

/** The type of an input. */
export type InputType =
  | "INPUT_TYPE_STRING"
  | "INPUT_TYPE_NUMBER"
  | "INPUT_TYPE_BOOLEAN"
  | "INPUT_TYPE_CHOICE";

/** An invitation. */
export interface Invitation {
  /** The invitation's id, a UUIDv7. */
  id: string;
  /** The id of the organization. */
  organizationId: string;
  /** The name of the organization. */
  organizationName: string;
  /** The role that it gives. */
  role?: OrganizationRole;
  /** The id or the name of the user who is invited. Empty: whoever has the code. */
  userId: string;
  /** The name of that user. */
  userName: string;
  /** The name of the user who made it. */
  createdBy: string;
  /** When it was made. */
  createTime?: string;
  /** When it expires. Not set: in 7 days. */
  expireTime?: string;
}

/** An account of a user at a remote source. */
export interface LinkedAccount {
  /** The id of the linked account, a UUIDv7. */
  id: string;
  /** The id or name of the remote source. In responses, the id. */
  remoteSourceId: string;
  /** An access token of the account, made at the provider. Only in requests. */
  accessToken: string;
  /** The id of the account at the provider. It stays when the account is renamed. */
  remoteUserId: string;
  /** The name of the account at the provider when it was linked. */
  remoteName: string;
  /** When it was linked. */
  createTime?: string;
  /** Why the server cannot act with the account, and what to do. Empty: nothing is known that would prevent it. */
  problem: string;
  /** Whether the account was authorized at the provider (OAuth 2). Otherwise its access token was made by hand. */
  authorized: boolean;
  /** The paths of the projects whose repository the server reaches with the account, the first 100 that the caller may see. Set by `ListLinkedAccounts` only. */
  projectPaths: string[];
  /** How many more projects there are. Set by `ListLinkedAccounts` only. */
  otherProjects: number;
}

/** The response of `ListArtifacts`. */
export interface ListArtifactsResponse {
  /** The artifacts. */
  artifacts: Artifact[];
}

/** The response of `ListAuditRecords`. */
export interface ListAuditRecordsResponse {
  /** The records, the newest first. */
  auditRecords: AuditRecord[];
  /** The token of the next page. Empty: this is the last page. */
  nextPageToken: string;
}

/** The response of `ListConfiguredRuns`. */
export interface ListConfiguredRunsResponse {
  /** The runs, in the order of the file. */
  runs: ConfiguredRun[];
  /** The commit whose configuration was read. */
  commitSha: string;
  /** The file that has the configuration. Empty: there is none. */
  sourcePath: string;
  /** Why the configuration cannot be used. It has no runs then. */
  errors: string[];
}

/** The response of `ListDeliveries`. */
export interface ListDeliveriesResponse {
  /** The deliveries, the newest first. */
  deliveries: Delivery[];
  /** The token of the next page. Empty: this is the last page. */
  nextPageToken: string;
}

/** The response of `ListExecutorGroups`. */
export interface ListExecutorGroupsResponse {
  /** The groups, by name. */
  executorGroups: ExecutorGroup[];
  /** The token of the next page. Empty: this is the last page. */
  nextPageToken: string;
}

/** The response of `ListExecutors`. */
export interface ListExecutorsResponse {
  /** The executors, by group and id. */
  executors: Executor[];
  /** The token of the next page. Empty: this is the last page. */
  nextPageToken: string;
}

/** The response of `ListInvitations`. */
export interface ListInvitationsResponse {
  /** All invitations: at most 100. */
  invitations: Invitation[];
}

/** The response of `ListLinkedAccounts`. */
export interface ListLinkedAccountsResponse {
  /** The linked accounts, by remote source. */
  linkedAccounts: LinkedAccount[];
}

/** The response of `ListLoginSources`. */
export interface ListLoginSourcesResponse {
  /** The remote sources, by name. */
  loginSources: LoginSource[];
  /** Whether any user of the installation can log in with a password. */
  hasPasswords: boolean;
}

/** The response of `ListOrganizationMembers`. */
export interface ListOrganizationMembersResponse {
  /** The members, by name. */
  members: OrganizationMember[];
  /** The token of the next page. Empty: this is the last page. */
  nextPageToken: string;
}

/** The response of `ListOrganizations`. */
export interface ListOrganizationsResponse {
  /** The organizations, by name. */
  organizations: Organization[];
  /** The token of the next page. Empty: this is the last page. */
  nextPageToken: string;
}

/** The response of `ListProjectGroups`. */
export interface ListProjectGroupsResponse {
  /** The project groups, by name. */
  projectGroups: ProjectGroup[];
  /** The token of the next page. Empty: this is the last page. */
  nextPageToken: string;
}

/** The response of `ListProjects`. */
export interface ListProjectsResponse {
  /** The projects, by name. */
  projects: Project[];
  /** The token of the next page. Empty: this is the last page. */
  nextPageToken: string;
}

/** The response of `ListReceivedInvitations`. */
export interface ListReceivedInvitationsResponse {
  /** The invitations: the first 1,000. */
  invitations: Invitation[];
}

/** The response of `ListRemoteSources`. */
export interface ListRemoteSourcesResponse {
  /** The remote sources, by name. */
  remoteSources: RemoteSource[];
  /** The token of the next page. Empty: this is the last page. */
  nextPageToken: string;
}

/** The response of `ListRuns`. */
export interface ListRunsResponse {
  /** The runs, newest first, without annotations, setup errors and warnings, and with at most 100 characters of the first line of the commit message: `GetRun` returns all of it. With a `groupPrefix`, a page may have fewer runs than `pageSize`, or none, and still not be the last. */
  runs: Run[];
  /** The token of the next page. Empty: this is the last page. */
  nextPageToken: string;
}

/** The response of `ListSchedules`. */
export interface ListSchedulesResponse {
  /** The schedules, the oldest first. */
  schedules: Schedule[];
}

/** The response of `ListSecrets`. */
export interface ListSecretsResponse {
  /** The secrets, by name. */
  secrets: Secret[];
  /** The token of the next page. Empty: this is the last page. */
  nextPageToken: string;
}

/** The response of `ListTasks`. */
export interface ListTasksResponse {
  /** The tasks, by level and name. */
  tasks: Task[];
  /** The token of the next page. Empty: this is the last page. */
  nextPageToken: string;
}

/** The response of `ListTests`. */
export interface ListTestsResponse {
  /** The tests: those that failed first, then by task, suite, class and name. */
  tests: TestCase[];
  /** The token of the next page. Empty: this is the last one. */
  nextPageToken: string;
  /** How many tests the run, or the task, has reported. */
  counts?: TestCounts;
}

/** The response of `ListTokens`. */
export interface ListTokensResponse {
  /** The tokens. */
  tokens: Token[];
  /** The token of the next page. Empty: this is the last page. */
  nextPageToken: string;
}

/** The response of `ListUserTokens`. */
export interface ListUserTokensResponse {
  /** The tokens. A page may have fewer than `pageSize` and not be the last one. */
  tokens: UserToken[];
  /** The token of the next page. Empty: this is the last page. */
  nextPageToken: string;
}

/** The response of `ListUsers`. */
export interface ListUsersResponse {
  /** The users, by name. */
  users: User[];
  /** The token of the next page. Empty: this is the last page. */
  nextPageToken: string;
}

/** The response of `ListVariables`. */
export interface ListVariablesResponse {
  /** The variables, by name. */
  variables: Variable[];
  /** The token of the next page. Empty: this is the last page. */
  nextPageToken: string;
}

/** The response of `ListWebhookDeliveries`. */
export interface ListWebhookDeliveriesResponse {
  /** The deliveries, the newest first. */
  deliveries: WebhookDelivery[];
  /** The token of the next page. Empty: this is the last page. */
  nextPageToken: string;
}

/** The response of `ListWebhooks`. */
export interface ListWebhooksResponse {
  /** The webhooks. */
  webhooks: Webhook[];
}

/** Lines of a log: those around its first error, or if none was found its last ones. */
export interface LogExcerpt {
  /** The number of the attempt whose log it is, from 1. */
  attempt: number;
  /** The number of the line that looks like an error, from 1. 0: none was found. */
  errorLine: string;
  /** The number of the first of the lines, from 1. */
  firstLine: string;
  /** The lines, as the step wrote them, with secrets masked and escape sequences in them. What is not UTF-8 is U+FFFD; a line ends after 1000 characters. */
  lines: string[];
  /** The number of bytes that the log had. */
  size: string;
}

/** Where the lines of a log are. */
export interface LogIndex {
  /** The number of the attempt whose log it is, from 1. */
  attempt: number;
  /** The number of bytes that the log has now. */
  size: string;
  /** Whether the log is over. */
  complete: boolean;
  /** The SHA-256 digest of all bytes, in hex. Empty: it has not been computed yet. */
  sha256: string;
  /** The number of line ends (U+000A). */
  newlines: string;
  /** The distance of the offsets for which `newlinesBefore` has values, in bytes. */
  stride: string;
  /** The number of line ends before the offset `stride`, before twice as much, and so on, up to the end. At most 4096. */
  newlinesBefore: string[];
  /** When its bytes were written, in order. Only with `withTimes`. */
  times: LogTime[];
}

/** A line of a log that matches. */
export interface LogMatch {
  /** The task's id. */
  taskId: string;
  /** The task's name. */
  taskName: string;
  /** The number of the attempt, from 1. */
  attempt: number;
  /** Whether it is in the log of the pod's setup. Then `step` is 0. */
  setup: boolean;
  /** The index of the step, from 0. */
  step: number;
  /** The number of the line, from 1. */
  line: string;
  /** The line, with escape sequences in it. What is not UTF-8 is U+FFFD. Of a line of more than 1000 bytes, a part with the match. */
  text: string;
  /** The lines before it. */
  before: string[];
  /** The lines after it. */
  after: string[];
}

/** What was searched. */
export interface LogSearchEnd {
  /** The number of bytes that were read. */
  searchedBytes: string;
  /** Whether there may be more matches than were sent. */
  truncated: boolean;
  /** The logs that could not be read to their ends, and why, for people. */
  unread: string[];
}

/** When bytes of a log were written. */
export interface LogTime {
  /** The offset of the first of them. They end where the next time begins. */
  offset: string;
  /** The time, by the clock of the executor. */
  time?: string;
}

/** A remote source that users log in with. */
export interface LoginSource {
  /** The remote source's id. */
  id: string;
  /** The remote source's name. */
  name: string;
  /** The kind of the provider: `gitea`, `github` or `gitlab`. */
  type: string;
}

/** An organization. */
export interface Organization {
  /** The organization's id, a UUIDv7. */
  id: string;
  /** The organization's name: 1 to 40 letters, digits and single inner hyphens. Starts with a letter. Not a UUID. */
  name: string;
  /** The version of the organization. It changes with every change. In an update, the stored version must be this one. */
  etag: string;
  /** When the organization was created. */
  createTime?: string;
  /** Who may see it. Not set in a request: members only. */
  visibility?: Visibility;
}

/** A member of an organization. */
export interface OrganizationMember {
  /** The user's id. */
  userId: string;
  /** The user's name. */
  userName: string;
  /** The user's role. */
  role?: OrganizationRole;
}

/** The role of a member. */
export type OrganizationRole =
  | "ORGANIZATION_ROLE_OWNER"
  | "ORGANIZATION_ROLE_MEMBER"
  | "ORGANIZATION_ROLE_READER";

/** A project. */
export interface Project {
  /** The project's id, a UUIDv7. */
  id: string;
  /** The project's name: 1 to 40 letters, digits and single inner hyphens. Starts with a letter. Not a UUID. */
  name: string;
  /** The version of the project. It changes with every change. In an update, the stored version must be this one. */
  etag: string;
  /** When the project was created. */
  createTime?: string;
  /** The id or path of the organization, user or project group that it belongs to. */
  parentId: string;
  /** Who may see it. Not set when it is created: as the parent; below a user: members only. In a response: who may see it in effect; it is private if any of its ancestors is. */
  visibility?: Visibility;
  /** The path in the tree, such as `org/acme/backend/api`. */
  path: string;
  /** The id of the remote source that has the project's repository. Empty: none. */
  remoteSourceId: string;
  /** The path of the repository in the remote source. */
  repositoryPath: string;
  /** The number of runs of the project that may run at the same time, in all groups together. 0: no limit. */
  concurrency: number;
  /** Whether a new run cancels the older queued runs of its group. */
  cancelSuperseded: boolean;
  /** Whether the runs of a fork's pull request get the project's variables. */
  passVariablesToForks: boolean;
  /** The public half of the key with which runs clone the repository over SSH, as one line of authorized_keys. */
  deployKey: string;
  /** A repository at a host that is no git provider. Its branches and tags are listed from time to time. Without `remoteSourceId`. An update replaces it as a whole, in a project that was created with one. */
  git?: GitRepository;
  /** Whether the tasks of a fork's pull request get id tokens. */
  issueIdTokensToForks: boolean;
  /** How long what belongs to its runs is kept, where that is not as in the installation. Members may shorten, only operators may lengthen it. An update replaces it as a whole. */
  retention?: Retention;
  /** How long it is kept in effect. */
  effectiveRetention?: Retention;
}

/** A project group. */
export interface ProjectGroup {
  /** The project group's id, a UUIDv7. */
  id: string;
  /** The project group's name: 1 to 40 letters, digits and single inner hyphens. Starts with a letter. Not a UUID. */
  name: string;
  /** The version of the project group. It changes with every change. In an update, the stored version must be this one. */
  etag: string;
  /** When the project group was created. */
  createTime?: string;
  /** The id or path of the organization, user or project group that it belongs to. */
  parentId: string;
  /** Who may see it. Not set when it is created: as the parent; below a user: members only. In a response: who may see it in effect; it is private if any of its ancestors is. */
  visibility?: Visibility;
  /** The path in the tree, such as `org/acme/backend/api`. */
  path: string;
}

/** A quota. In `GetQuotaResponse.usage`, the same numbers count what there is. */
export interface Quota {
  /** The number of project groups and projects below the node, at all levels together. */
  projects: number;
  /** The number of queued runs of each project at or below the node. The nearest quota that sets it counts, as for the fields below. */
  queuedRuns: number;
  /** The number of secrets of the node, and of each project group and project below it. */
  secrets: number;
  /** The number of variables of the node, and of each project group and project below it. */
  variables: number;
  /** The number of schedules of each project at or below the node. More than 100 are not possible. */
  schedules: number;
  /** The number of tokens of a user that are valid and that no login made. On a user only. */
  tokens: number;
  /** The number of running tasks of the projects at and below the node together, and of a user's own runs. The quota of each node above a project counts. More tasks wait (`WAITS_FOR_QUOTA`); nothing is refused. */
  runningTasks: number;
}

/** Why a run, a task or a step is in its state. */
export interface Reason {
  /** A stable code in UPPER_SNAKE_CASE, for programs. */
  code: string;
  /** A sentence for people. */
  message: string;
}

/** A remote source. */
export interface RemoteSource {
  /** The remote source's id, a UUIDv7. */
  id: string;
  /** The remote source's name: 1 to 40 letters, digits and single inner hyphens. Starts with a letter. Not a UUID. */
  name: string;
  /** The version of the remote source. It changes with every change. In an update, the stored version must be this one. */
  etag: string;
  /** When the remote source was created. */
  createTime?: string;
  /** The kind of the provider: `gitea`, `github` or `gitlab`. */
  type: string;
  /** The URL of the provider's API. */
  apiUrl: string;
  /** The client id of this installation at the provider (OAuth 2). */
  oauth2ClientId: string;
  /** The client secret of this installation at the provider (OAuth 2). Only in requests. */
  oauth2ClientSecret: string;
  /** The SSH host key of the provider: a line of known_hosts, or the type and the base64 of the key. Private repositories are cloned over SSH, from a host with this key only. */
  sshHostKey: string;
  /** Whether users log in with their account there (OAuth 2). Needs the client id. */
  loginAllowed: boolean;
  /** Whether a login with an account there that no user has linked creates a user. Needs `loginAllowed`. */
  registrationAllowed: boolean;
}

/** The run that a restarted run was made from. */
export interface RestartOrigin {
  /** The id of the restarted run. */
  runId: string;
  /** What was restarted: `fromStart`, `fromFailed` or `tasks`. */
  kind: string;
  /** The number of the restarted run. 0: it was deleted. */
  runNumber: string;
}

/** How long what belongs to the runs of a project is kept. What is due is deleted at the next sweep, within an hour. A field that is not set is as in the installation; 0 s: for ever. */
export interface Retention {
  /** Logs, after the end of their run. */
  logs?: string;
  /** Artifacts and test reports, after the end of their run. Workspaces go after 7 days, or earlier with these. */
  artifacts?: string;
  /** Caches, after they were last used. */
  caches?: string;
  /** Runs with all that belongs to them, after their end. */
  runs?: string;
}

/** Whether and when a failed attempt is followed by another one. */
export interface Retry {
  /** The largest number of attempts, including the first. 0: 1. */
  maxAttempts: number;
  /** The causes after which the task is retried. Empty: `FAILED`, `TIMEOUT` and `SETUP`. */
  on: RetryCause[];
  /** After the cause `FAILED` the task is retried only if the step that failed ended with one of these exit statuses. Empty: with any. */
  exitCodes: number[];
  /** What the next attempt avoids. */
  avoid: RetryAvoid[];
}

/** What the next attempt of a task avoids. */
export type RetryAvoid =
  | "RETRY_AVOID_EXECUTOR";

/** Why an attempt of a task failed. An attempt has exactly one cause. */
export type RetryCause =
  | "RETRY_CAUSE_FAILED"
  | "RETRY_CAUSE_LOST"
  | "RETRY_CAUSE_TIMEOUT"
  | "RETRY_CAUSE_SETUP";

/** A run: one execution of an entry of `runs` in a run configuration. */
export interface Run {
  /** The run's id, a UUIDv7. */
  id: string;
  /** The run's number. Runs are counted from 1, without gaps, among all groups that have the same first two segments. */
  number: string;
  /** The run's name. 1 to 100 characters, no control characters. */
  name: string;
  /** The group: the path in which runs queue. An absolute path with percent-escaped segments. In a request, `/user/me` stands for the caller's own path, and the path of a project for its id: `org/acme/site/branch/main`. */
  group: string;
  /** Arbitrary values for the caller's own use. At most 16 KiB of names and values together. */
  annotations: Record<string, string>;
  /** The priority. Tasks of a run with a higher priority get an executor first. */
  priority: number;
  /** The timeout of the whole run. Time in which the run only waits for approvals is not counted. Not set: no timeout. */
  timeout?: string;
  /** The phase of the run. */
  phase?: RunPhase;
  /** The result of the run. It can be decided while tasks still run. */
  result?: RunResult;
  /** Why the run has its result, if no task explains it (`RUN_TIMED_OUT`). */
  reason?: Reason;
  /** The request to stop the run, if there was one. */
  stopRequest?: StopRequest;
  /** The run that this run restarts, if it does. */
  restartOf?: RestartOrigin;
  /** Where the run came from. In a request, use `CreateRunRequest.source`. */
  source?: Source;
  /** The errors of the configuration, if the phase is `SETUP_ERROR`. In a request, use `CreateRunRequest.setup_errors`. */
  setupErrors: string[];
  /** Warnings about the run, for people. In a request, use `CreateRunRequest.warnings`. */
  warnings: string[];
  /** The id of the user who created the run. */
  createdBy: string;
  /** When the run was created. */
  createTime?: string;
  /** When the run was queued. */
  enqueueTime?: string;
  /** When the run started. */
  startTime?: string;
  /** When the run reached a final phase. */
  endTime?: string;
  /** Since when the run only waits for approvals. Not set: it does not. */
  approvalWaitSince?: string;
  /** How long the run has only waited for approvals, without the current wait. */
  approvalWaited?: string;
  /** Whether the run has timed out. */
  timedOut: boolean;
  /** The number of tasks of the run. */
  taskCount: number;
  /** When the first task of the run was assigned to an executor. Not set: none was yet, or an earlier version created the run and did not record it. */
  workStartTime?: string;
  /** What a running run waits for while none of its tasks runs: `WAITS_FOR_EXECUTOR`, `WAITS_FOR_APPROVAL`, `WAITS_FOR_LOCK`, `WAITS_FOR_QUOTA`, `WAITS_FOR_RECOVERY` or `WAITS_FOR_PLACEMENT`. Only in the responses of `GetRun`, `ResolveRun` and `ListRuns`; in those of `WatchRun`, see the tasks. */
  waiting?: Reason;
  /** When the logs of the run were deleted because they were older than the installation keeps logs. Not set: they were not. */
  logsDeleteTime?: string;
  /** The plain values of the run's environment, such as the variables of a run by hand. A restart keeps them. In a request, use `CreateRunRequest.environment`. */
  variables: Record<string, string>;
  /** The group for people: the path of its project with what follows, such as `org/acme/site/branch/main`, or a user's own, such as `/user/alice/site/main`. Requests may name the group so. It changes when the project moves. */
  groupPath: string;
  /** The name of the user who created the run, now; `createdBy` if there is no such user. */
  createdByName: string;
  /** How long the pod of each task is held when a step fails, instead of what the task says. Not set: as the task says. At most 24 hours. Ignored in runs of forks. */
  holdOnFailure?: string;
  /** The inputs of the run, with their values. In a request, use `CreateRunRequest.inputs`. */
  inputs: Input[];
  /** Whether the tasks were made with the values of the inputs, so that `RestartRun` cannot change these. */
  inputsMakeTasks: boolean;
}

/** The decision on one run of the configuration. */
export interface RunDecision {
  /** The name of the run in the configuration; of a run with setup errors, the name that it got. */
  runName: string;
  /** The rule that decided. */
  reason?: DecisionReason;
  /** The decision in a sentence. */
  sentence: string;
  /** The id of the run. Empty: there is none. */
  runId: string;
}

/** A change of one field of a run or a task. Events are in the order in which they were committed. */
export interface RunEvent {
  /** The position of the event. A watch can resume after it. */
  position: string;
  /** When the change was committed. */
  time?: string;
  /** What changed. */
  kind?: RunEventKind;
  /** The id of the run. */
  runId: string;
  /** The group of the run. */
  group: string;
  /** The id of the task. Empty if a field of the run changed. */
  taskId: string;
  /** The name of the task. */
  taskName: string;
  /** The value before the change: the name of an enum value, or text. */
  oldValue: string;
  /** The value after the change. */
  newValue: string;
}

/** The kind of a change. */
export type RunEventKind =
  | "RUN_EVENT_KIND_PHASE"
  | "RUN_EVENT_KIND_RESULT"
  | "RUN_EVENT_KIND_TASK_STATUS"
  | "RUN_EVENT_KIND_APPROVAL"
  | "RUN_EVENT_KIND_EXECUTOR";

/** Why a run and its tasks are in their states. */
export interface RunExplanation {
  /** The run's id. */
  runId: string;
  /** The phase of the run. */
  phase?: RunPhase;
  /** Why the run is queued, how far a running run is and what it waits for, or why it ended as it did. */
  reasons: Reason[];
  /** The tasks that have not succeeded, by level and name. */
  tasks: TaskExplanation[];
}

/** The phase of a run. All phases but `QUEUED` and `RUNNING` are final. */
export type RunPhase =
  | "RUN_PHASE_SETUP_ERROR"
  | "RUN_PHASE_QUEUED"
  | "RUN_PHASE_CANCELLED"
  | "RUN_PHASE_RUNNING"
  | "RUN_PHASE_FINISHED";

/** The result of a run. */
export type RunResult =
  | "RUN_RESULT_SUCCESS"
  | "RUN_RESULT_FAILED"
  | "RUN_RESULT_STOPPED";

/** A schedule. */
export interface Schedule {
  /** The schedule's id, a UUIDv7. */
  id: string;
  /** The id of the project. */
  projectId: string;
  /** The times, as five fields of cron: minute, hour, day of the month, month, day of the week. Names (`mon`, `jan`), lists, ranges and steps are taken. If both days are given, either is enough. */
  cron: string;
  /** The time zone of these times, such as `Europe/Berlin`. A time that does not exist on a day when clocks change comes right after the change; one that exists twice comes once. Empty: UTC. */
  timeZone: string;
  /** A branch by its name, or a branch or tag by its full name, such as `refs/tags/v1`. Empty: the default branch. */
  ref: string;
  /** Create only this run of the configuration, whether its `when` matches or not. Empty: all that apply to the ref. */
  runName: string;
  /** Whether it creates no runs at present. */
  paused: boolean;
  /** The id of the user who created it. */
  createdBy: string;
  /** When it was created. */
  createTime?: string;
  /** When it is due next. Unset: it is paused. */
  nextTime?: string;
  /** When it was due last. Unset: never. */
  lastTime?: string;
  /** The id of the delivery that was made then. */
  lastDeliveryId: string;
  /** Values for inputs of the runs, by name. They are checked each time it is due: the decisions of the delivery say what is wrong with them. */
  inputs: Record<string, string>;
}

/** A message of `SearchLogs`: one of its fields is set. */
export interface SearchLogsResponse {
  /** A match. */
  match?: LogMatch;
  /** The end of the search, in the last message. */
  end?: LogSearchEnd;
}

/** A secret. */
export interface Secret {
  /** The secret's id, a UUIDv7. */
  id: string;
  /** The secret's name: 1 to 40 letters, digits and single inner hyphens or underscores. Starts with a letter. Not a UUID. */
  name: string;
  /** The version of the secret. It changes with every change. In an update, the stored version must be this one. */
  etag: string;
  /** When the secret was created. */
  createTime?: string;
  /** The organization, user, project group or project that it belongs to: its id, or in requests also its path. It cannot be changed. */
  parentId: string;
  /** The values by key: UTF-8 without NUL, each of 4 bytes to 48 KiB, at most 100 and 128 KiB together. A key is 1 to 100 letters, digits, `_`, `.` and `-`. Only in requests. */
  values: Record<string, string>;
  /** The keys of the values, sorted. */
  keys: string[];
  /** The version of the values. It grows with every change of them. */
  version: string;
}

/** Where a run came from. */
export interface Source {
  /** The URL of the repository, or its path on the executor's machine. */
  repository: string;
  /** The kind of the ref: `branch`, `tag` or `pull_request`. */
  refType: string;
  /** The full ref, such as `refs/heads/main`. */
  ref: string;
  /** The branch. Empty for tags and pull requests. */
  branch: string;
  /** The tag. Empty for branches and pull requests. */
  tag: string;
  /** The id of the pull request. Empty for branches and tags. */
  pullRequestId: string;
  /** The commit id: 40 or 64 hex digits. */
  commitSha: string;
  /** The commit message. */
  message: string;
  /** The URL of a page about the commit, tag or pull request. */
  link: string;
}

/** The state of a step. */
export interface Step {
  /** The step's name. */
  name: string;
  /** The kind of the step, such as `run` or `clone`. */
  type: string;
  /** The phase of the step. */
  phase?: StepPhase;
  /** The exit status of the step's command. Not set: the command was not run, or was ended by a signal. */
  exitStatus?: number;
  /** When the step started. */
  startTime?: string;
  /** When the step ended. */
  endTime?: string;
  /** The size of the step's log in bytes. Known once the step has ended. */
  logSizeBytes: string;
  /** The SHA-256 of the step's log, in hex. Known once the step has ended. */
  logSha256: string;
  /** Why the step is in its phase, if the exit status does not explain it. */
  reason?: Reason;
  /** How often the step was run again in the pod that was held after its failure. Its log has the output of all. */
  reruns: number;
  /** The processor time of the step's processes, all of them that have ended with it. Not set: it is not known. */
  cpuTime?: string;
  /** The peak of the resident memory of the largest of them, in bytes. 0: it is not known. */
  peakMemoryBytes: string;
  /** Of the setup: the images of the pod's containers, the first one that of the steps. Empty: they are not known. */
  images: ContainerImage[];
}

/** The phase of a step. */
export type StepPhase =
  | "STEP_PHASE_NOT_STARTED"
  | "STEP_PHASE_RUNNING"
  | "STEP_PHASE_SUCCESS"
  | "STEP_PHASE_FAILED"
  | "STEP_PHASE_STOPPED"
  | "STEP_PHASE_SKIPPED";

/** A request to stop a run. */
export interface StopRequest {
  /** When the run was asked to stop. */
  time?: string;
  /** The id of the user who asked for it. */
  by: string;
  /** Whether clean-up tasks are stopped too. */
  force: boolean;
  /** The name of the user who asked for it, now. */
  byName: string;
}

/** A task: a node of the graph of a run. */
export interface Task {
  /** The task's id, a UUIDv7. */
  id: string;
  /** The id of the run. */
  runId: string;
  /** The task's name, unique in the run. */
  name: string;
  /** The level in the graph: 0 for a task without parents, otherwise one more than the highest level of its parents. */
  level: number;
  /** The parents of the task, and which of their outcomes let it run. */
  depends: Depend[];
  /** The status of the task. */
  status?: TaskStatus;
  /** Why the task waits, was skipped, failed or was lost. */
  reason?: Reason;
  /** Whether the last attempt timed out. */
  timedOut: boolean;
  /** Whether the run can succeed although this task fails. */
  ignoreFailure: boolean;
  /** The approval of the task. Not set: it needs none. */
  approval?: TaskApproval;
  /** The name of the lock that the task holds while it runs. Empty: none. */
  lock: string;
  /** The number of the current or the last attempt, from 1. 0: there was none. */
  attempt: number;
  /** The setup of the task's pod. It has a log of its own. */
  setupStep?: Step;
  /** The steps of the current or the last attempt. */
  steps: Step[];
  /** When the pod of the current or the last attempt started. */
  startTime?: string;
  /** When the status became final. */
  endTime?: string;
  /** The id of the current or the last assignment. */
  assignmentId: string;
  /** The id of the executor of that assignment. */
  executorId: string;
  /** Since when the task only waits for an executor. Not set: it does not. */
  runnableSince?: string;
  /** The labels that an executor must have. */
  labels: Record<string, string>;
  /** The architecture that an executor must support. Empty: any. */
  arch: string;
  /** Whether a container of the task is privileged. */
  privileged: boolean;
  /** The priority, from -10 to 10. */
  priority: number;
  /** Whether and when a failed attempt is followed by another one. */
  retry?: Retry;
  /** The timeout of an attempt, from the start of its pod. */
  timeout?: string;
  /** How long the task may wait for an executor. Not set: without end. */
  waitTimeout?: string;
  /** All attempts, oldest first. Only in the responses of `GetTask` and `ListTasks`. */
  attempts: Attempt[];
  /** When a user deleted the logs of the task. Not set: no user did. */
  logsDeleteTime?: string;
  /** The id of that user. */
  logsDeletedBy: string;
  /** The hold of the pod after a failed step. Not set: the pod is not held. */
  hold?: TaskHold;
  /** How people ended the holds of the current or the last attempt, oldest first. */
  continuations: TaskContinuation[];
  /** Which attempts people asked for after the task had failed, oldest first. */
  manualRetries: TaskRetry[];
}

/** The approval of a task. */
export interface TaskApproval {
  /** Whether the task must be approved before it runs. */
  needed: boolean;
  /** Since when the task waits for its approval. Not set: it does not wait. */
  waitingSince?: string;
  /** How long the task waits at most. A task that is not approved in this time is skipped. */
  timeout?: string;
  /** The id of the user who approved the task. */
  approvedBy: string;
  /** When the task was approved. */
  approveTime?: string;
  /** The commit that was approved. */
  commitSha: string;
  /** The digest of the rendered configuration that was approved. */
  configDigest: string;
  /** The name of the user who approved the task, now. */
  approvedByName: string;
  /** Whether only owners of the project may approve or reject the task. */
  ownersOnly: boolean;
}

/** How a person ended a hold. */
export interface TaskContinuation {
  /** The number of the hold. */
  hold: number;
  /** What the person asked for. */
  action?: HoldAction;
  /** The id of the user. */
  by: string;
  /** When the user asked for it. */
  time?: string;
}

/** Why a task waits, where it runs, or why it ended as it did. */
export interface TaskExplanation {
  /** The task's id. */
  taskId: string;
  /** The task's name. */
  taskName: string;
  /** The status of the task. */
  status?: TaskStatus;
  /** All reasons. Empty only for a task that ended without an attempt and has no reason. */
  reasons: Reason[];
}

/** The hold of a pod whose step failed. The task is still running. */
export interface TaskHold {
  /** The number of the hold, from 1 in each attempt. */
  number: number;
  /** The index of the step that failed. */
  step: number;
  /** Since when the pod is held. */
  startTime?: string;
  /** When the hold ends if nobody ends it before. The task is failed then. */
  expireTime?: string;
}

/** Another attempt of a task that had failed, for which a person asked. */
export interface TaskRetry {
  /** The number of the attempt that had failed. */
  attempt: number;
  /** The id of the user. */
  by: string;
  /** When the user asked for it. */
  time?: string;
}

/** The status of a task. All statuses but `NOT_STARTED` and `RUNNING` are final. */
export type TaskStatus =
  | "TASK_STATUS_NOT_STARTED"
  | "TASK_STATUS_SKIPPED"
  | "TASK_STATUS_CANCELLED"
  | "TASK_STATUS_RUNNING"
  | "TASK_STATUS_STOPPED"
  | "TASK_STATUS_SUCCESS"
  | "TASK_STATUS_FAILED"
  | "TASK_STATUS_LOST";

/** A test. */
export interface TestCase {
  /** The name of its suite. */
  suite: string;
  /** The name of its class. */
  className: string;
  /** The name of the test. */
  name: string;
  /** The result. */
  result?: TestResult;
  /** How long the test took, as reported. */
  duration?: string;
  /** Why it failed or was skipped: at most 2,000 characters. */
  message: string;
  /** What a failed test printed, with its stack trace: at most 8,000 characters, of the first 200 tests of a file. */
  output: string;
  /** The id of the task that reported it. */
  taskId: string;
  /** The name of that task. */
  taskName: string;
}

/** How many tests there are. */
export interface TestCounts {
  /** All tests. */
  total: number;
  /** Those that failed, or ended with an error. */
  failed: number;
  /** Those that were skipped. */
  skipped: number;
}

/** The result of a test. */
export type TestResult =
  | "TEST_RESULT_PASSED"
  | "TEST_RESULT_FAILED"
  | "TEST_RESULT_ERROR"
  | "TEST_RESULT_SKIPPED";

/** A token, without its text. */
export interface Token {
  /** The token's id: the first 16 characters of the SHA-256 of its text, in hex. */
  id: string;
  /** What its holder is. */
  kind?: TokenKind;
  /** What people call the token. Unique among the valid tokens of its kind. */
  name: string;
  /** The user who acts with the token. Empty when it is created: the caller. Not for executors. */
  userId: string;
  /** The group of the executors. Required for executors, and for nobody else. */
  group: string;
  /** What the token may be used for, such as `runs:read`; `*` is everything. Empty when it is created: everything. Not for executors. */
  scopes: string[];
  /** When the token was created. */
  createTime?: string;
  /** When the token expires. Not set: never. Not set when it is created: when the token of the call does. */
  expireTime?: string;
  /** When the token was revoked. Not set: it was not. */
  revokeTime?: string;
  /** When the token was last used, to the hour. Not set: never. */
  lastUseTime?: string;
  /** Whether a login made it. */
  session: boolean;
}

/** What the holder of a token is. */
export type TokenKind =
  | "TOKEN_KIND_USER"
  | "TOKEN_KIND_OPERATOR"
  | "TOKEN_KIND_EXECUTOR";

/** A user. */
export interface User {
  /** The user's id, a UUIDv7. */
  id: string;
  /** The user's name: 1 to 40 letters, digits and single inner hyphens. Starts with a letter. Not a UUID. */
  name: string;
  /** The version of the user. It changes with every change. In an update, the stored version must be this one. */
  etag: string;
  /** When the user was created. */
  createTime?: string;
  /** Whether the user may operate the installation. */
  operator: boolean;
  /** Whether the user can log in no more, and no token of the user is valid. */
  disabled: boolean;
}

/** A token of a user, without its text. */
export interface UserToken {
  /** The token's id: the first 16 characters of the SHA-256 of its text, in hex. */
  id: string;
  /** The name of the token. */
  name: string;
  /** What the token may be used for, such as `runs:read`; `*` is everything. */
  scopes: string[];
  /** When the token was created. */
  createTime?: string;
  /** When the token expires. Not set: never. */
  expireTime?: string;
  /** When the token was last used, to the hour. Not set: never. */
  lastUseTime?: string;
  /** Whether a login made it. */
  session: boolean;
  /** Whether it is of an operator. */
  operator: boolean;
}

/** A variable. */
export interface Variable {
  /** The variable's id, a UUIDv7. */
  id: string;
  /** The variable's name: 1 to 40 letters, digits and single inner hyphens or underscores. Starts with a letter. Not a UUID. */
  name: string;
  /** The version of the variable. It changes with every change. In an update, the stored version must be this one. */
  etag: string;
  /** When the variable was created. */
  createTime?: string;
  /** The organization, user, project group or project that it belongs to: its id, or in requests also its path. It cannot be changed. */
  parentId: string;
  /** The values, in order. The first one whose `when` matches is used. */
  values: VariableValue[];
}

/** A value of a variable: a value of a secret, and when it is used. */
export interface VariableValue {
  /** The name of a secret of the variable's parent, or of an ancestor of it. */
  secretName: string;
  /** The key of the value in the secret. */
  key: string;
  /** When the value is used. Not set: always. */
  when?: VariableWhen;
}

/** A condition under which a value is used. */
export interface VariableWhen {
  /** The rule about the branch. */
  branch?: WhenRule;
  /** The rule about the tag. */
  tag?: WhenRule;
  /** The rule about the full ref. */
  ref?: WhenRule;
}

/** Who may see something. */
export type Visibility =
  | "VISIBILITY_PUBLIC"
  | "VISIBILITY_PRIVATE";

/** A message of `WatchRun`. */
export interface WatchRunResponse {
  /** The position after this message. */
  position: string;
  /** The run, in the snapshot and whenever it has changed. */
  run?: Run;
  /** The tasks: all of them in the snapshot, then those that have changed. */
  tasks: Task[];
  /** The events. Empty in the snapshot. */
  events: RunEvent[];
}

/** A message of `WatchRuns`. */
export interface WatchRunsResponse {
  /** The position after this message. */
  position: string;
  /** The events of one transaction. Empty in the first message, which only has the position. */
  events: RunEvent[];
}

/** An outgoing webhook. */
export interface Webhook {
  /** The webhook's id, a UUIDv7. */
  id: string;
  /** The id of the project, project group, organization or user of whose runs it tells. In a request, also its path. */
  parentId: string;
  /** Where events are sent: a URL of http or https without a user and a password. */
  url: string;
  /** The types of events that are sent: `run.created`, `run.started`, `run.finished`. Empty: all, also those of later versions. */
  eventTypes: string[];
  /** Whether nothing is sent. Set by a person, or by the server when the receiver fails for too long. */
  disabled: boolean;
  /** Why the server disabled it. Empty: it did not. */
  disabledReason: string;
  /** When the server disabled it. Not set: it did not. */
  disableTime?: string;
  /** Since when no request has succeeded. Not set: the last one did, or there was none. */
  failingSince?: string;
  /** The secret that requests are signed with: `whsec_` and 24 to 64 bytes in base64. Never in a response. */
  secret: string;
  /** Until when requests are signed with the secret before as well. Not set: they are not. */
  previousSecretExpireTime?: string;
  /** When it was created. */
  createTime?: string;
  /** The id of the user who created it. */
  createdBy: string;
  /** The version of the webhook. An update or deletion that names another one is refused. */
  etag: string;
}

/** An event that is sent to a webhook. */
export interface WebhookDelivery {
  /** The delivery's id, a UUIDv7: the header `webhook-id`, the same in each attempt. */
  id: string;
  /** The id of the webhook. */
  webhookId: string;
  /** The type of the event, such as `run.finished`. */
  eventType: string;
  /** The id of the run. */
  runId: string;
  /** When it was created. */
  createTime?: string;
  /** How far it is. */
  phase?: WebhookDeliveryPhase;
  /** How often it was sent. */
  attempts: number;
  /** When it was sent last. */
  attemptTime?: string;
  /** The status of the last response. 0: there was none. */
  responseStatus: number;
  /** How long the last response took. */
  responseDuration?: string;
  /** What happened in the last attempt, in a sentence. Empty: it succeeded, or there was none. */
  sentence: string;
  /** When it is sent again. Not set: at once, or never. */
  retryTime?: string;
  /** The body that is sent: JSON. */
  body: string;
}

/** How far a delivery of a webhook is. */
export type WebhookDeliveryPhase =
  | "WEBHOOK_DELIVERY_PHASE_PENDING"
  | "WEBHOOK_DELIVERY_PHASE_DELIVERED"
  | "WEBHOOK_DELIVERY_PHASE_FAILED";

/** A rule about names. A name matches if `include` has it and `exclude` does not. */
export interface WhenRule {
  /** Names that match: exact, or a regular expression (RE2) between slashes. Empty: all names. */
  include: string[];
  /** Names that do not match: exact, or a regular expression (RE2) between slashes. */
  exclude: string[];
}
