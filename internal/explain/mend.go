package explain

import (
	"fmt"
	"slices"
	"strings"

	"github.com/svidgate/svidgate/internal/strictid"
	"github.com/svidgate/svidgate/oauth"
)

// mendClient is for an SVID that is no client's, or not this one's, or not for its
// method. No step gives the rights of one workload to another: where an SVID is of
// another workload than the client named, that one is registered by itself.
func (s Situation) mendClient(step *Step, about subject) {
	if _, err := strictid.Workload(about.clientID); err == nil && about.spiffeID == "" { // refused before the SVID was looked at
		about.spiffeID = about.clientID
		about.covering = s.covering(about.spiffeID)
	}
	client, known := s.client(about.clientID)
	switch {
	case s.By == ByBundle:
		step.Next = s.tokenCommand(about)
	case about.spiffeID == "" && known:
		s.allowMethod(step, about, client)
	case about.spiffeID == "":
		s.nameAnother(step, about)
	case about.rule == "CX-3" || about.rule == "MD-20":
		s.nameExactly(step, about)
	case slices.Contains(about.covering, about.clientID):
		s.allowMethod(step, about, client)
	case len(about.covering) > 0:
		s.nameOwner(step, about)
	case known && misspelt(client, about.spiffeID):
		step.Advice = "If " + about.spiffeID + " is that workload, write it so; otherwise mend its entry in SPIRE (" + entryCommand(about.spiffeID) + ")."
		step.Edit = &Edit{File: s.ConfigFile, Under: "clients, at " + oauth.Shown(client.ID), Write: "spiffe_id: " + quotedYAML(about.spiffeID)}
		step.Next = s.reloadCommand()
	default:
		s.register(step, about)
	}
}

// misspelt reports whether a SPIFFE ID differs from the client's in case, slash or
// white space only, and is written beside a client_id of another kind.
func misspelt(c Client, id string) bool {
	bare := func(s string) string {
		return strings.ToLower(strings.TrimSuffix(strings.TrimSpace(s), "/"))
	}
	return !strings.HasPrefix(c.ID, "spiffe://") && !strings.HasSuffix(c.SPIFFEID, "/*") && bare(c.SPIFFEID) == bare(id)
}

// nameAnother is for a client_id of nobody, where nothing else is known.
func (s Situation) nameAnother(step *Step, about subject) {
	about.clientID = ""
	if about.near != nil && about.near.Compared == "client_id" {
		step.Advice = "Send the client_id of a registered client (the nearest is " + oauth.Shown(about.near.Configured) + "), or register this one."
		about.clientID = about.near.Configured
	}
	step.Next = s.tokenCommand(about)
}

// nameOwner is for a SPIFFE ID that belongs to another client than the one named,
// if one was named.
func (s Situation) nameOwner(step *Step, about subject) {
	owner, can := s.owner(about)
	if !can {
		s.allowMethod(step, about, owner)
		return
	}
	step.Advice = "The SPIFFE ID belongs to another client than the request names: send the client_id of that one."
	if about.clientID == "" {
		step.Advice = "The request names no client, and the SPIFFE ID belongs to " + oauth.Shown(owner.ID) + ": send its client_id."
	}
	about.clientID = owner.ID
	step.Next = s.tokenCommand(about)
}

// owner is the client that a SPIFFE ID belongs to: one that may use the method, if
// there is one, and of those the one whose client_id it is.
func (s Situation) owner(about subject) (c Client, can bool) {
	for i, id := range about.covering {
		candidate, _ := s.client(id)
		may := about.method == "" || candidate.mayUse(about.method) // a refusal may come before it has a method
		if i == 0 || may && (!can || candidate.ID == about.spiffeID) {
			c, can = candidate, may
		}
	}
	return c, can
}

// nameExactly is for a profile that wants a client of exactly this SPIFFE ID.
func (s Situation) nameExactly(step *Step, about subject) {
	exact, known := s.client(about.spiffeID)
	switch {
	case !known:
		s.register(step, about)
	case !exact.mayUse(about.method):
		s.allowMethod(step, about, exact)
	default:
		step.Advice = "Send the SPIFFE ID as client_id: the profile wants a client of exactly that."
		about.clientID = about.spiffeID
		step.Next = s.tokenCommand(about)
	}
}

// allowMethod is for a client that is not registered for the method.
func (s Situation) allowMethod(step *Step, about subject, client Client) {
	name := oauth.Shown(client.ID)
	if slices.Contains(client.Permits, about.method) {
		methods := []string{}
		for _, m := range append(slices.Clone(client.Methods), about.method) {
			methods = append(methods, string(m))
		}
		step.Advice = "If client " + name + " is meant to authenticate by " + string(about.method) + ", say so, in place of the methods it has:"
		step.Edit = &Edit{File: s.ConfigFile, Under: "clients, at " + name, Write: "auth_methods: [" + strings.Join(methods, ", ") + "]"}
		step.Next = s.reloadCommand()
		return
	}
	why := ""
	switch {
	case about.method == oauth.MethodX509 && !s.Certificates:
		why = " (" + ErrNoCertificates.Error() + ")"
	case about.method != "":
		why = " (its profile does not allow " + string(about.method) + ")"
	}
	if len(client.Methods) > 0 {
		about.method = client.Methods[0]
	}
	step.Advice = "Client " + name + " authenticates by " + string(about.method) + ", and that is what the workload has to use" + why + "."
	about.clientID = client.ID
	step.Next = s.tokenCommand(about)
}

// register is for a SPIFFE ID that has no client of its own.
func (s Situation) register(step *Step, about subject) {
	if about.method == "" {
		about.method = oauth.MethodJWT
	}
	step.Next = s.reloadCommand()
	if about.method == oauth.MethodX509 && !s.Certificates { // check-config would refuse it
		step.Advice = "Have a listener ask for client certificates (listen.mtls or public_client_certificates), and register " + about.spiffeID + "."
		return
	}
	step.Advice = "If " + about.spiffeID + " is meant to get tokens, register it, with the resource and the scope that it needs:"
	if named := about.clientID; named != "" && named != about.spiffeID {
		step.Advice = oauth.Shown(named) + " is the client of another workload; " + entryCommand(about.spiffeID) + " says why this one has that SPIFFE ID. " +
			"If it is meant to get tokens, register it by itself, with the resource and the scope that it needs, and send that client_id:"
		if _, known := s.client(named); !known {
			step.Advice = "No client is " + oauth.Shown(named) + ", and none has the SPIFFE ID. If " + about.spiffeID + " is meant to get tokens, register it, " +
				"with the resource and the scope that it needs, and send that client_id:"
		}
	}
	step.Edit = &Edit{File: s.ConfigFile, Under: "clients", Write: s.newClient(about)}
}

// newClient is an entry for the SPIFFE ID, with as little as gets a token.
func (s Situation) newClient(about subject) string {
	entry := fmt.Sprintf("- {client_id: %s, token_endpoint_auth_method: %s", quotedYAML(about.spiffeID), about.method)
	if len(s.Resources) > 0 {
		entry += fmt.Sprintf(", resources: [%s]", quotedYAML(s.Resources[0].Resource))
		if scopes := s.Resources[0].Scopes; len(scopes) > 0 {
			entry += ", scope: " + quotedYAML(scopes[0])
		}
	}
	return entry + "}"
}

func entryCommand(spiffeID string) string {
	return "spire-server entry show -spiffeID " + quoted(spiffeID)
}
