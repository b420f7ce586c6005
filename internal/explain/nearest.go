package explain

import (
	"slices"
	"strings"
)

// Nearest are the configured names that are nearest to what was presented and
// not accepted; nil where there is nothing to compare.
type Nearest struct {
	Audience    *Near       `json:"audience,omitempty"`
	TrustDomain *Near       `json:"trust_domain,omitempty"`
	Client      *NearClient `json:"client,omitempty"`
}

// A Near is a configured name beside the one presented.
type Near struct {
	Configured string      `json:"configured"`
	Presented  string      `json:"presented"`
	Difference *Difference `json:"difference,omitempty"` // nil when they are equal, or the one configured stands for the other
}

// A NearClient is a client and how its spiffe_id, or client_id, differs.
type NearClient struct {
	ClientID string `json:"client_id"`
	SPIFFEID string `json:"spiffe_id"`
	Compared string `json:"compared"` // spiffe_id or client_id
	Near
}

// near compares the nearest of the candidates, nil without any.
func near(candidates []string, presented string) *Near {
	i := nearest(candidates, presented)
	if i < 0 || presented == "" {
		return nil
	}
	return compare(candidates[i], presented)
}

func compare(configured, presented string) *Near {
	n := &Near{Configured: configured, Presented: part(presented)}
	if d, ok := FirstDifference(configured, presented); ok {
		n.Difference = &d
	}
	return n
}

// nearTrustDomain compares the nearest of the configured trust domains.
func nearTrustDomain(configured []TrustDomain, name string) *Near {
	names := make([]string, 0, len(configured))
	for _, td := range configured {
		names = append(names, td.Name)
	}
	n := near(names, name)
	if n != nil && n.Difference != nil && strings.HasSuffix(n.Difference.Where, "name") {
		n.Difference.Where = strings.TrimSuffix(n.Difference.Where, "name") + "trust domain"
	}
	return n
}

// nearest is the index of the candidate that has most in common with a name at
// both ends, whatever the case; -1 without candidates. It costs the length of the
// candidates, since there may be very many.
func nearest(candidates []string, name string) int {
	best, least := -1, 0
	folded := strings.ToLower(name)
	for i, c := range candidates {
		d := 2*distance(strings.ToLower(c), folded) + 1
		if c == name {
			d = 0
		}
		if best < 0 || d < least {
			best, least = i, d
		}
	}
	return best
}

// distance is how many bytes of both stand between a common beginning and a
// common end.
func distance(a, b string) int {
	begin := 0
	for begin < len(a) && begin < len(b) && a[begin] == b[begin] {
		begin++
	}
	a, b = a[begin:], b[begin:]
	end := 0
	for end < len(a) && end < len(b) && a[len(a)-1-end] == b[len(b)-1-end] {
		end++
	}
	return len(a) + len(b) - 2*end
}

// alike reports whether two names have half of their characters in common, at the
// ends. Of others nobody took one for the other.
func alike(a, b string) bool {
	common := len(a) + len(b) - distance(strings.ToLower(a), strings.ToLower(b)) // of both
	return common >= max(len(a), len(b))
}

// nearClient compares a SPIFFE ID with that of a client: the named one, one that it
// belongs to, or the nearest. A wildcard is compared with as much of the SPIFFE ID
// as it names.
func nearClient(clients []Client, covering []string, named, id string) *NearClient {
	if id == "" {
		return nil
	}
	if _, known := (Situation{Clients: clients}).client(named); !known && len(covering) > 0 {
		named = covering[0]
	}
	best, least := -1, 0
	for i, c := range clients {
		if c.ID == named {
			best = i
			break
		}
		base, reached := fitted(c.SPIFFEID, id)
		// What a wildcard would stand for counts too, or it would be near to everything.
		d := distance(strings.ToLower(base), strings.ToLower(reached)) + len(id) - len(reached)
		if best < 0 || d < least {
			best, least = i, d
		}
	}
	if best < 0 {
		return nil
	}
	c := clients[best]
	base, reached := fitted(c.SPIFFEID, id)
	n := &NearClient{ClientID: part(c.ID), SPIFFEID: c.SPIFFEID, Compared: "spiffe_id", Near: *compare(base, reached)}
	n.Configured, n.Presented = c.SPIFFEID, part(id)
	switch {
	case slices.Contains(covering, c.ID): // it is refused for something else
		n.Difference = nil
	case n.Difference == nil && base != c.SPIFFEID: // the wildcard stands for something else
		n.Difference = &Difference{"depth below " + base, "as many segments as the client allows", part(strings.TrimPrefix(id, base))}
	}
	return n
}

// fitted are the text of a pattern without its wildcard, and the beginning of a
// SPIFFE ID that has as many segments.
func fitted(pattern, id string) (base, reached string) {
	base, wildcard := strings.CutSuffix(pattern, "/*")
	if !wildcard {
		return pattern, id
	}
	slashes := strings.Count(base, "/")
	for i := range len(id) { // one pass: a stranger's sub may be all slashes
		if id[i] != '/' {
			continue
		}
		if slashes--; slashes < 0 {
			return base, id[:i]
		}
	}
	return base, id
}

// nearClientID compares a client_id of nobody with the registered ones, or with
// those that the SPIFFE ID belongs to, if there are any.
func nearClientID(clients []Client, covering []string, named string) *NearClient {
	if len(covering) > 0 {
		clients = slices.DeleteFunc(slices.Clone(clients), func(c Client) bool { return !slices.Contains(covering, c.ID) })
	}
	ids := make([]string, 0, len(clients))
	for _, c := range clients {
		ids = append(ids, c.ID)
	}
	i := nearest(ids, named)
	if i < 0 || len(covering) == 0 && !alike(ids[i], named) {
		return nil
	}
	return &NearClient{ClientID: part(clients[i].ID), SPIFFEID: clients[i].SPIFFEID, Compared: "client_id", Near: *compare(clients[i].ID, named)}
}
