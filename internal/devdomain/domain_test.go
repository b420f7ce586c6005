package devdomain_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/workloadapi"

	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/internal/devdomain"
)

// start runs a domain with two identities until the test ends.
func start(t *testing.T, change ...func(*devdomain.Config)) *devdomain.Domain {
	t.Helper()
	config := devdomain.Config{
		TrustDomain: "example.org",
		Identities:  []devdomain.Identity{{Path: "/billing", Hint: "internal"}, {Path: "/ns/ci/build", Hint: "external"}},
		SocketPath:  filepath.Join(t.TempDir(), "w.sock"),
	}
	for _, c := range change {
		c(&config)
	}
	d, err := devdomain.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	if err := d.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return d
}

// Every test closes what it started, so at the end of them all nothing runs.
func TestMain(m *testing.M) {
	code := m.Run()
	if left := leftRunning(); left != "" {
		fmt.Fprintf(os.Stderr, "goroutines left behind by the tests:\n%s", left)
		code = 1
	}
	os.Exit(code)
}

// leftRunning waits until no goroutine has to do with gRPC, HTTP or the domain,
// and returns those that stay.
func leftRunning() (left string) {
	eventually(func() bool {
		left = ""
		buf := make([]byte, 1<<20)
		for g := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
			if strings.Contains(g, "leftRunning") { // the one that asks
				continue
			}
			if strings.Contains(g, "google.golang.org/grpc") || strings.Contains(g, "net/http.") || strings.Contains(g, "/internal/devdomain.") {
				left += g + "\n\n"
			}
		}
		return left == ""
	})
	return left
}

// eventually polls with real sockets in play; false after ten seconds.
func eventually(condition func() bool) bool {
	deadline := time.NewTimer(10 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if condition() {
			return true
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			return false
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*devdomain.Config)
		want   string // empty: accepted
	}{
		{"sound", func(*devdomain.Config) {}, ""},
		{"IPv6 loopback", func(c *devdomain.Config) { c.BundleAddress = "[::1]:0" }, ""},
		{"SI-4 trust domain", func(c *devdomain.Config) { c.TrustDomain = "Example.org" }, "SI-4"},
		{"no identity", func(c *devdomain.Config) { c.Identities = nil }, "no identity"},
		{"SI-12 identity without a path", func(c *devdomain.Config) { c.Identities[0].Path = "" }, "SI-12"},
		{"SI-7 path that ends in a slash", func(c *devdomain.Config) { c.Identities[0].Path = "/a/" }, "SI-7"},
		{"a path twice", func(c *devdomain.Config) { c.Identities[1].Path = "/billing" }, "twice"},
		{"a hint twice", func(c *devdomain.Config) { c.Identities[1].Hint = "internal" }, "twice"},
		{"no hint twice", func(c *devdomain.Config) { c.Identities[0].Hint, c.Identities[1].Hint = "", "" }, ""},
		{"a public address", func(c *devdomain.Config) { c.BundleAddress = "0.0.0.0:0" }, "loopback"},
		{"an address without a port", func(c *devdomain.Config) { c.BundleAddress = "127.0.0.1" }, "loopback"},
		{"JS-2 an algorithm no SVID has", func(c *devdomain.Config) { c.CA.JWTAlgorithm = "HS256" }, "JS-2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := devdomain.Config{TrustDomain: "example.org", Identities: []devdomain.Identity{{"/billing", "internal"}, {"/other", "external"}}}
			c.change(&config)
			_, err := devdomain.New(config)
			if got := fmt.Sprint(err); (err == nil) != (c.want == "") || !strings.Contains(got, c.want) {
				t.Errorf("got %v, want %q in it", err, c.want)
			}
		})
	}
	_, err := devdomain.New(devdomain.Config{TrustDomain: "UPPER", BundleAddress: "10.0.0.1:0"})
	for _, want := range []string{"SI-4", "no identity", "loopback"} {
		if !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%q is not among the faults: %v", want, err)
		}
	}
}

func TestSocketFile(t *testing.T) {
	d := start(t)
	path := strings.TrimPrefix(d.SocketAddr(), "unix://")
	if !filepath.IsAbs(path) || workloadapi.ValidateAddress(d.SocketAddr()) != nil {
		t.Fatalf("CL-1: %q", d.SocketAddr())
	}
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != os.ModeSocket|0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("the folder has %v, %v", entries, err)
	}

	// A second domain finds the place taken and leaves it alone.
	other, err := devdomain.New(devdomain.Config{TrustDomain: "other.test", Identities: []devdomain.Identity{{Path: "/a"}}, SocketPath: path})
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("started on a socket in use: %v", err)
	}
	if _, err := workloadapi.FetchX509SVID(t.Context(), workloadapi.WithAddr(d.SocketAddr())); err != nil {
		t.Errorf("the first one does not answer any more: %v", err)
	}

	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("the socket is still there: %v", err)
	}
}

func TestStaleSocket(t *testing.T) {
	d := start(t)
	path := strings.TrimPrefix(d.SocketAddr(), "unix://")
	kept := path + ".kept"
	// What a process leaves that is killed: a socket where nobody listens.
	if err := os.Link(path, kept); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	again := start(t, func(c *devdomain.Config) { c.SocketPath = kept })
	if _, err := workloadapi.FetchX509SVID(t.Context(), workloadapi.WithAddr(again.SocketAddr())); err != nil {
		t.Error(err)
	}
}

func TestSocketPathIsAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(path, []byte("do not delete"), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := devdomain.New(devdomain.Config{TrustDomain: "example.org", Identities: []devdomain.Identity{{Path: "/a"}}, SocketPath: path})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "not a socket") {
		t.Errorf("started over a file: %v", err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "do not delete" {
		t.Errorf("the file is %q, %v", b, err)
	}
}

func TestCloseLeavesASuccessorAlone(t *testing.T) {
	d := start(t)
	path := strings.TrimPrefix(d.SocketAddr(), "unix://")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	start(t, func(c *devdomain.Config) { c.SocketPath = path })
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the successor's socket is gone: %v", err)
	}
}

func TestOwnFolder(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	d := start(t, func(c *devdomain.Config) { c.SocketPath = "" })
	folder := filepath.Dir(strings.TrimPrefix(d.SocketAddr(), "unix://"))
	info, err := os.Stat(folder)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info, err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(folder); !os.IsNotExist(err) {
		t.Errorf("the folder is still there: %v", err)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	d, err := devdomain.New(devdomain.Config{
		TrustDomain: "example.org", Identities: []devdomain.Identity{{Path: "/a"}}, SocketPath: filepath.Join(t.TempDir(), "w.sock"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if d.SocketAddr() != "" || d.BundleURL() != "" {
		t.Error("addresses before Start")
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	if !eventually(func() bool { return d.SocketAddr() != "" }) {
		t.Fatal("it does not start")
	}
	// An open stream must not hold up the end.
	source, err := workloadapi.NewX509Source(t.Context(), workloadapi.WithClientOptions(workloadapi.WithAddr(d.SocketAddr())))
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
	if err := source.Close(); err != nil {
		t.Error(err)
	}
	if err := d.Start(t.Context()); err == nil {
		t.Error("started twice")
	}
	if left := leftRunning(); left != "" {
		t.Errorf("goroutines left behind:\n%s", left)
	}
}

func TestCloseBeforeStart(t *testing.T) {
	d, err := devdomain.New(devdomain.Config{TrustDomain: "example.org", Identities: []devdomain.Identity{{Path: "/a"}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if err := d.Start(t.Context()); err == nil {
		t.Error("started after Close")
	}
}

func TestStartFailureLeavesNothing(t *testing.T) {
	d := start(t)
	taken := strings.TrimSuffix(strings.TrimPrefix(d.BundleURL(), "https://"), "/bundle.json")
	folder := t.TempDir()
	other, err := devdomain.New(devdomain.Config{
		TrustDomain: "other.test", Identities: []devdomain.Identity{{Path: "/a"}},
		SocketPath: filepath.Join(folder, "w.sock"), BundleAddress: taken, CA: devca.Options{WIT: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(t.Context()); err == nil {
		t.Fatal("two servers on one port")
	}
	if entries, err := os.ReadDir(folder); err != nil || len(entries) != 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}
