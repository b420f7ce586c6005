package explain

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/svidgate/svidgate/oauth"
)

// mendClient is for an SVID that is no client's, or not this one's.
func (s Situation) mendClient(step *Step, about subject) {
	if about.spiffeID == "" && strings.HasPrefix(about.clientID, "spiffe://") { // refused before the SVID was looked at
		about.spiffeID = about.clientID
	}
	if s.By == ByBundle || about.spiffeID == "" && about.near == nil {
		step.Next = s.tokenCommand(about)
		return
	}
	client, known := s.client(about.clientID)
	switch {
	case about.reason != oauth.ReasonMethodNotAllowed && about.rule != "CX-3" && about.rule != "MD-20" && len(about.covering) > 0:
		step.Advice = "The SPIFFE ID belongs to another client than the request names: send the client_id of that one."
		about.clientID = about.covering[0]
		step.Next = s.tokenCommand(about)
		return
	case about.rule == "CX-3":
		step.Advice = "Send the SPIFFE ID as client_id: the profile wants that beside a certificate."
		about.clientID = about.spiffeID
		step.Next = s.tokenCommand(about)
		return
	case about.reason == oauth.ReasonMethodNotAllowed && known:
		methods := []string{}
		for _, m := range append(slices.Clone(client.Methods), about.method) {
			methods = append(methods, string(m))
		}
		step.Advice = "If the client is meant to authenticate by " + string(about.method) + ", say so, in place of the methods it has:"
		step.Edit = &Edit{File: s.ConfigFile, Under: "clients, at " + oauth.Shown(client.ID), Write: "auth_methods: [" + strings.Join(methods, ", ") + "]"}
	case known && !strings.HasSuffix(client.SPIFFEID, "/*"):
		step.Advice = "If " + about.spiffeID + " is that workload, write it so; otherwise mend its entry in SPIRE (spire-server entry show -spiffeID " + quoted(about.spiffeID) + ")."
		step.Edit = &Edit{File: s.ConfigFile, Under: "clients, at " + oauth.Shown(client.ID), Write: "spiffe_id: " + quotedYAML(about.spiffeID)}
	case about.clientID != "" && about.clientID != about.spiffeID && about.near != nil && about.near.Compared == "client_id":
		step.Advice = "Send the client_id of a registered client (the nearest is " + oauth.Shown(about.near.Configured) + "), or register this one."
		about.clientID = about.near.Configured
		step.Next = s.tokenCommand(about)
		return
	default:
		step.Advice = "If " + about.spiffeID + " is meant to get tokens, register it, with the resource and the scope that it needs:"
		step.Edit = &Edit{File: s.ConfigFile, Under: "clients", Write: s.newClient(about)}
	}
	step.Next = s.reloadCommand()
}

// newClient is an entry for the SPIFFE ID, with as little as gets a token.
func (s Situation) newClient(about subject) string {
	entry := fmt.Sprintf("- {client_id: %s, token_endpoint_auth_method: %s", quotedYAML(about.spiffeID), cmp.Or(about.method, oauth.MethodJWT))
	if len(s.Resources) > 0 {
		entry += fmt.Sprintf(", resources: [%s]", quotedYAML(s.Resources[0].Resource))
		if scopes := s.Resources[0].Scopes; len(scopes) > 0 {
			entry += ", scope: " + scopes[0]
		}
	}
	return entry + "}"
}
