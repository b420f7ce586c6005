package config

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/internal/policy"
	"github.com/svidgate/svidgate/internal/strictid"
)

// A TrustDomain is one entry of `trust_domains`. Its key is the name of the
// trust domain, bare or with spiffe:// before it, which mean the same (SI-13).
// Exactly one of BundleEndpoint, WorkloadAPI and BundleFile is set; nothing about one trust
// domain is inferred from another or from a URL (BE-1).
type TrustDomain struct {
	Name spiffeid.TrustDomain

	// BundleEndpoint, `spiffe_bundle_endpoint`: where the bundle is fetched.
	BundleEndpoint BundleEndpoint
	// WorkloadAPI, `workload_api`: whose answer the bundle is taken from (AV-1,
	// warned).
	WorkloadAPI WorkloadAPI
	// BundleFile, `bundle_file`: a file with the bundle. Danger: nobody renews
	// it; when the trust domain rotates its keys, its workloads are refused
	// (AV-2, warned).
	BundleFile string
	// KeySet, `bundle_format`, spiffe or jwks, default spiffe: with jwks the
	// endpoint or file gives a plain JWK Set, as an OpenID provider does, and each
	// of its keys counts for JWT-SVIDs (F6, warned). Danger: whatever else such a
	// provider signs with them is kept apart by type and audience only.
	KeySet bool

	// Refresh, `refresh`: bounds of the time between two fetches.
	Refresh Refresh
	// MaxStale, `max_stale`, default 24h, 1m to 8760h; 0 is for ever (warned):
	// how long the last good bundle is used while no newer one can be had; then
	// every SVID of the trust domain is refused (BE-15). Danger: keys that were
	// withdrawn during an outage are trusted for that long.
	MaxStale time.Duration

	// Profile, `profile`, default the global one.
	Profile svidgate.Profile
	// Binding, `binding`, default empty: it says nothing.
	Binding policy.BindingMode
	// SVID, `svid`: each of its keys defaults to the global one.
	SVID SVID
	// SingleUse, `single_use`, default false: refuse a JWT-SVID that was used
	// before (CJ-13). Danger: issuers hand the same SVID to several callers, and
	// workloads that cache theirs are then refused.
	SingleUse bool
	// EnableWIT, `enable_wit`, default true: let WIT-SVIDs of the trust domain
	// authenticate, once its bundle has a key for them. Under profile seed they
	// never do.
	EnableWIT bool
	// Registration, `registration`, default preregistered: who may be a client
	// without an entry of clients.
	Registration Registration
}

// A BundleEndpoint is a SPIFFE bundle endpoint.
type BundleEndpoint struct {
	// URL, `url`, required: an https URL without user information; port, path
	// and query are free (BE-2). Empty when the trust domain has no endpoint.
	URL string
	// SPIFFEID, `profile` and `endpoint_spiffe_id`: with the profile https_spiffe the
	// endpoint is known by this SPIFFE ID, whatever its host (BE-6, warned). Zero with
	// https_web, the default: then by a certificate for its host (BE-3). Neither stands
	// in for the other (BE-4).
	SPIFFEID spiffeid.ID
	// InitialBundleFile, `initial_bundle_file`: where the endpoint is in the trust domain
	// whose bundle it serves, the bundle that it is known by at first; the newest that it
	// gave counts from then on (BE-7). Required there, and nowhere else.
	InitialBundleFile string
	// CAFile, `ca_file`, default the system's CAs: PEM certificates that the
	// endpoint's own certificate must lead to. They never vouch for an SVID.
	CAFile string
	// Redirects, `redirects`, default true: follow up to 5 redirects, to https
	// only (BE-10, BE-12).
	Redirects bool
}

// A WorkloadAPI is a SPIFFE Workload API as the source of one bundle. Of what it
// answers, only the bundle of the trust domain it is configured for is taken.
type WorkloadAPI struct {
	// Address, `address`, required: unix:// and the absolute path of a socket, or
	// tcp:// and a loopback address with its port. Empty when the bundle comes
	// from elsewhere. Danger: whoever answers there decides whom the trust domain
	// consists of.
	Address string
}

// Refresh bounds the time between two fetches, which is the bundle's own
// spiffe_refresh_hint, or 300 s without one (BU-15).
type Refresh struct {
	// Min, `refresh.min`, default 30s (or max, when that is shorter), 1s to 24h.
	Min time.Duration
	// Max, `refresh.max`, default 1h (or min, when that is longer), min to 168h.
	// Danger: a key that is withdrawn stays trusted for up to this long.
	Max time.Duration
}

// trustDomains says which trust domains clients may lie in.
type trustDomains struct {
	unreadable bool // the table could not be read, so nothing is known
	names      []string
	profiles   map[spiffeid.TrustDomain]svidgate.Profile
	withoutWIT map[spiffeid.TrustDomain]bool
	endpoints  []endpointElsewhere
	// registrations are read when the resources are known, in the order of the trust
	// domains.
	registrations []func(*clientReader) Registration
}

// An endpointElsewhere serves the bundle of one trust domain and is known by that of
// another one.
type endpointElsewhere struct {
	of, by spiffeid.TrustDomain
	at     position
}

// readTrustDomains reads the table, which is a mapping or the name of a file
// that holds one, in YAML or JSON.
func (r *reader) readTrustDomains(t *table, cfg *Config) trustDomains {
	known := trustDomains{profiles: map[spiffeid.TrustDomain]svidgate.Profile{}, withoutWIT: map[spiffeid.TrustDomain]bool{}}
	m, there := t.members["trust_domains"]
	if !there {
		return known
	}
	folder, n := t.folder, m.value
	if n.kind == text {
		folder, n = r.tableFile(t, cfg)
	} else if n.kind != mapping {
		t.mustBe("trust_domains", "a table of trust domains (indented below it) or the name of a file that holds one")
		n = nil
	}
	if n == nil {
		known.unreadable = true
		return known
	}
	lines := map[spiffeid.TrustDomain]position{}
	for _, entry := range n.members {
		name, err := strictid.TrustDomain(entry.name)
		if err != nil {
			known.unreadable = true // it may be one that a client names
			r.fault(entry.at, "%s is not the name of a trust domain: %v%s", quoted(entry.name), err, r.inLowerCase(entry, n.members))
			continue
		}
		if first, twice := lines[name]; twice {
			r.fault(entry.at, "the trust domain %s is configured twice; the first is on line %d", quoted(name.Name()), first.line)
		} else {
			lines[name] = entry.at
		}
		d := r.readTrustDomain(name, folder, entry, cfg, &known)
		known.profiles[name], known.withoutWIT[name] = d.Profile, !d.EnableWIT
		known.names = append(known.names, name.Name())
		cfg.TrustDomains = append(cfg.TrustDomains, d)
	}
	r.checkEndpoints(&known)
	return known
}

// checkEndpoints refuses endpoints that nothing could ever be known by: their trust
// domain is not there, or waits for them in a circle (BE-8).
func (r *reader) checkEndpoints(known *trustDomains) {
	next := map[spiffeid.TrustDomain]spiffeid.TrustDomain{}
	for _, e := range known.endpoints {
		next[e.of] = e.by
	}
	for _, e := range known.endpoints {
		if _, there := known.profiles[e.by]; !there {
			if !known.unreadable {
				r.fault(e.at, "the endpoint is in the trust domain %s, which is not configured: it is by the bundle of that one that it is known (BE-8)", quoted(e.by.Name()))
			}
			continue
		}
		by, ok := e.by, true
		for range known.endpoints {
			if by, ok = next[by]; !ok || by == e.of {
				break
			}
		}
		if ok {
			r.fault(e.at, "the trust domains %s and %s wait for each other's bundle: give one of them a source that does not need the other (BE-8)", quoted(e.of.Name()), quoted(e.by.Name()))
		}
	}
}

// inLowerCase says, for the end of a sentence, how a name is written of which
// only the case is wrong (F49), and whether it stands there so, too.
func (r *reader) inLowerCase(wrong member, all []member) string {
	lower, err := strictid.TrustDomain(strings.ToLower(wrong.name))
	if r.guesses++; r.guesses > maxGuesses || err != nil || strings.ToLower(wrong.name) == wrong.name {
		return ""
	}
	for _, m := range all {
		if name, err := strictid.TrustDomain(m.name); err == nil && name == lower {
			return fmt.Sprintf("; %s on line %d differs only in case", quoted(m.name), m.at.line)
		}
	}
	return "; write " + quoted(strings.ToLower(wrong.name))
}

// tableFile reads the file that `trust_domains` names. Faults in it are reported
// by its own name, and its paths are relative to its own folder.
func (r *reader) tableFile(t *table, cfg *Config) (folder string, root *node) {
	written := t.members["trust_domains"].value.text
	path := t.path("trust_domains", "")
	if path == "" {
		return "", nil
	}
	data, err := readFile(path)
	if err != nil {
		var at *fs.PathError // without the path, which is said as it was written
		if errors.As(err, &at) {
			err = at.Err
		}
		looked := ""
		if errors.Is(err, fs.ErrNotExist) && !filepath.IsAbs(written) {
			looked = " in the folder of this configuration"
		}
		r.fault(t.place("trust_domains"), "the table of trust domains in %s cannot be read: %v%s", quoted(written), err, looked)
		return "", nil
	}
	cfg.Files = append(cfg.Files, path)
	r.read[path] = digestOf(data, nil)
	// Named as the configuration is: relative if the caller's name was.
	shown := written
	if !filepath.IsAbs(written) {
		shown = filepath.Join(filepath.Dir(t.at.file), written)
	}
	root, faults := parseYAML(shown, data)
	if faults != nil {
		r.faults = append(r.faults, faults...)
		return "", nil
	}
	if root.kind != mapping {
		r.fault(root.at, "the file must hold a table of trust domains, not %s", root.written())
		return "", nil
	}
	return filepath.Dir(path), root
}

func (r *reader) readTrustDomain(name spiffeid.TrustDomain, folder string, entry member, cfg *Config, known *trustDomains) TrustDomain {
	const place = "trust_domains.<name>"
	t := r.open(place, "trust_domains."+name.Name(), folder, entry.at, entry.value)
	d := TrustDomain{
		Name:      name,
		Profile:   t.profile(cfg.Profile),
		Binding:   t.binding(""),
		SVID:      readSVID(t.sub(place+".svid", "svid"), cfg.SVID),
		SingleUse: t.boolean("single_use", false),
		MaxStale:  t.duration("max_stale", span{24 * time.Hour, time.Minute, 8760 * time.Hour, true}),
	}
	d.Refresh = t.refresh()
	d.EnableWIT = t.boolean("enable_wit", true)
	known.registrations = append(known.registrations, t.registration(place, name))
	t.sources(&d, place, known)
	if d.MaxStale == 0 && t.has("max_stale") {
		r.warn(t.place("max_stale"), "%s is 0: the last bundle is trusted for ever when no newer one can be had", t.name("max_stale"))
	}
	if d.MaxStale > 0 && d.MaxStale < d.Refresh.Min {
		r.fault(t.place("max_stale"), "%s must not be shorter than refresh.min (%s): every bundle would be too old before the next fetch", t.name("max_stale"), short(d.Refresh.Min))
	}
	return d
}

func (t *table) refresh() Refresh {
	bounds := t.sub("trust_domains.<name>.refresh", "refresh")
	min := bounds.duration("min", span{otherwise: 30 * time.Second, min: time.Second, max: 24 * time.Hour})
	max := bounds.duration("max", span{otherwise: time.Hour, min: time.Second, max: 168 * time.Hour})
	switch {
	case min <= max:
	case !bounds.has("min"):
		min = max
	case !bounds.has("max"):
		max = min
	default:
		t.r.fault(bounds.place("max"), "%s must not be shorter than refresh.min (%s)", bounds.name("max"), short(min))
	}
	return Refresh{Min: min, Max: max}
}

// endpointProfile reads how a bundle endpoint is known (BE-3, BE-4).
func (t *table) endpointProfile(d *TrustDomain, known *trustDomains) {
	const web, spiffe = "https_web", "https_spiffe"
	profile := oneOf(t, "profile", web, web, spiffe)
	belongs := map[string]string{"ca_file": web, "endpoint_spiffe_id": spiffe, "initial_bundle_file": spiffe}
	for _, key := range slices.Sorted(maps.Keys(belongs)) {
		if t.has(key) && belongs[key] != profile {
			t.r.fault(t.place(key), "%s belongs to the profile %s, and that of this endpoint is %s", t.name(key), belongs[key], profile)
			return
		}
	}
	if profile == web {
		return
	}
	const want = "the SPIFFE ID of the endpoint, with a path, such as spiffe://example.org/spire/server"
	text, ok := t.text("endpoint_spiffe_id", want)
	if !ok {
		if !t.has("endpoint_spiffe_id") && t.opened {
			t.r.fault(t.place("profile"), "the profile https_spiffe needs endpoint_spiffe_id, %s (BE-6)", want)
		}
		return
	}
	id, err := strictid.Workload(text)
	if err != nil {
		t.r.fault(t.place("endpoint_spiffe_id"), "%s must be %s, not %s: %v", t.name("endpoint_spiffe_id"), want, quoted(text), err)
		return
	}
	d.BundleEndpoint.SPIFFEID = id
	t.r.warn(t.place("profile"), "the bundle endpoint of %s is known by its SPIFFE ID: that is outside the OAuth drafts, whose profile is https_web (BE-3)", d.Name.Name())
	switch own := id.TrustDomain() == d.Name; {
	case own && !t.has("initial_bundle_file"):
		t.r.fault(t.place("endpoint_spiffe_id"), "the endpoint is in the trust domain whose bundle it serves, so initial_bundle_file has to say what it is known by at first (BE-7)")
	case own:
		d.BundleEndpoint.InitialBundleFile = t.path("initial_bundle_file", "")
	case t.has("initial_bundle_file"):
		t.r.fault(t.place("initial_bundle_file"), "%s is for an endpoint in the trust domain whose bundle it serves; this one is known by the bundle of %s (BE-8)", t.name("initial_bundle_file"), id.TrustDomain().Name())
	default:
		known.endpoints = append(known.endpoints, endpointElsewhere{d.Name, id.TrustDomain(), t.place("endpoint_spiffe_id")})
	}
}

// sources reads where the bundle comes from: exactly one place, never a second
// one to fall back to (BE-4, AV-9).
func (t *table) sources(d *TrustDomain, place string, known *trustDomains) {
	if t.has("spiffe_bundle_endpoint") {
		e := t.sub(place+".spiffe_bundle_endpoint", "spiffe_bundle_endpoint")
		d.BundleEndpoint.URL, _ = e.httpsURL("url", urlForm{query: true})
		d.BundleEndpoint.CAFile = e.path("ca_file", "")
		d.BundleEndpoint.Redirects = e.boolean("redirects", true)
		e.endpointProfile(d, known)
	}
	if t.has("workload_api") {
		w := t.sub(place+".workload_api", "workload_api")
		d.WorkloadAPI.Address = w.workloadEndpoint("address")
		t.r.warn(t.place("workload_api"), "the bundle of %s comes from a Workload API, which makes the server depend on an agent of its own machine; spiffe_bundle_endpoint is preferred (AV-1)", d.Name.Name())
	}
	if t.has("bundle_file") {
		d.BundleFile = t.path("bundle_file", "")
		t.r.warn(t.place("bundle_file"), "the bundle of %s is a file: nobody renews it when the trust domain rotates its keys (AV-2)", d.Name.Name())
	}
	if oneOf(t, "bundle_format", "spiffe", "spiffe", "jwks") == "jwks" {
		d.KeySet = true
		if t.has("workload_api") {
			t.r.fault(t.place("bundle_format"), "%s is for spiffe_bundle_endpoint and bundle_file; a Workload API has its own", t.name("bundle_format"))
		}
		if !d.BundleEndpoint.SPIFFEID.IsZero() {
			t.r.fault(t.place("bundle_format"), "%s is jwks, which no endpoint with the profile https_spiffe serves", t.name("bundle_format"))
		}
		t.r.warn(t.place("bundle_format"), "the bundle of %s is a plain JWK Set: it verifies no X.509-SVID, and an older one played again is not noticed", d.Name.Name())
	}
	var found []string
	for _, key := range []string{"spiffe_bundle_endpoint", "workload_api", "bundle_file"} {
		if t.has(key) || t.slips[key] {
			found = append(found, key)
		}
	}
	switch {
	case len(found) == 0 && t.opened:
		t.r.fault(t.at, "the trust domain %s needs a source for its bundle: spiffe_bundle_endpoint, workload_api or bundle_file", quoted(d.Name.Name()))
	case len(found) > 1:
		t.r.fault(t.place(found[1]), "the trust domain %s has more than one source for its bundle (%s and %s); keep one", quoted(d.Name.Name()), found[0], found[1])
	}
}
