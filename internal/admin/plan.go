package admin

// A Plan says what another configuration would do to clients, before it is in
// force.
type Plan struct {
	// CutOff are clients and workloads that get tokens now and would get none, Loses
	// those that would get less, Gains those that would get more, Changes those that
	// would get both more and less or the same in another way.
	CutOff  int `json:"cut_off"`
	Loses   int `json:"loses"`
	Gains   int `json:"gains"`
	Changes int `json:"changes"`
	Same    int `json:"same"`
	// Clients are all but those that stay the same, those that are cut off first; no
	// more than so many of each kind of change.
	Clients []PlannedClient `json:"clients"`
	// Partial says that some are left out of Clients; the numbers count them.
	Partial bool `json:"partial,omitempty"`
}

// A PlannedClient is what becomes of one client or workload.
type PlannedClient struct {
	Change   string   `json:"change"` // cut_off, loses, gains or changes
	Kind     string   `json:"kind"`   // configured, first_use or member
	ClientID string   `json:"client_id"`
	SPIFFEID string   `json:"spiffe_id"`
	State    string   `json:"state,omitempty"` // of a record
	Why      []string `json:"why"`
}

// Kinds of change, in the order of lists.
const (
	PlanCutOff  = "cut_off"
	PlanLoses   = "loses"
	PlanChanges = "changes"
	PlanGains   = "gains"
)
