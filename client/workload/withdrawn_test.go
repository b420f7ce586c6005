package workload_test

import (
	"crypto"
	"crypto/ecdsa"
	"encoding/base64"
	"encoding/json"
	"net"
	"testing"

	"github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	svids "github.com/svidgate/svidgate/client/workload"
	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/internal/jose"
)

// scripted is a Workload API that sends what it is told, on one stream of each kind.
type scripted struct {
	workload.UnimplementedSpiffeWorkloadAPIServer
	x509 chan *workload.X509SVIDResponse
	wit  chan *workload.WITSVIDResponse
}

func (s *scripted) FetchX509SVID(_ *workload.X509SVIDRequest, stream grpc.ServerStreamingServer[workload.X509SVIDResponse]) error {
	return send(stream, s.x509)
}

func (s *scripted) FetchWITSVID(_ *workload.WITSVIDRequest, stream grpc.ServerStreamingServer[workload.WITSVIDResponse]) error {
	return send(stream, s.wit)
}

// send sends until the channel is closed, and then breaks the stream.
func send[M any](stream grpc.ServerStreamingServer[M], messages chan *M) error {
	for {
		select {
		case <-stream.Context().Done():
			return stream.Context().Err()
		case m, ok := <-messages:
			if !ok {
				return status.Error(codes.Unavailable, "the agent restarts")
			}
			if err := stream.Send(m); err != nil {
				return err
			}
		}
	}
}

func (s *scripted) start(t *testing.T) (address string) {
	t.Helper()
	path := socketPath(t)
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	workload.RegisterSpiffeWorkloadAPIServer(server, s)
	go server.Serve(listener)
	t.Cleanup(server.Stop)
	return "unix://" + path
}

// CL-4: a message without any SVID withdraws what was there, and a stream that breaks
// does not.
func TestEmptyMessageWithdraws(t *testing.T) {
	authority, err := devca.New("example.org", devca.Options{WIT: true})
	if err != nil {
		t.Fatal(err)
	}
	x509, wit := x509Message(t, authority), witMessage(t, authority)
	for _, tt := range []struct {
		name      string
		withdraws bool
	}{
		{"empty message", true},
		{"broken stream", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			api := &scripted{x509: make(chan *workload.X509SVIDResponse, 1), wit: make(chan *workload.WITSVIDResponse, 1)}
			api.x509 <- x509
			api.wit <- wit
			s := open(t, svids.Config{Address: api.start(t)})
			td := spiffeid.RequireTrustDomainFromString("example.org")
			has := func() (x509SVID, bundle, witSVID bool) {
				_, err1 := s.GetX509SVID()
				_, err2 := s.GetX509BundleForTrustDomain(td)
				_, _, err3 := s.GetWITSVID()
				return err1 == nil, err2 == nil, err3 == nil
			}
			if a, b, c := has(); !a || !b || !c {
				t.Fatalf("at first: %t, %t, %t", a, b, c)
			}
			if !tt.withdraws {
				close(api.x509)
				close(api.wit)
				until(t, "both losses were noticed", func() bool { return svids.Troubled(s) })
				if a, b, c := has(); !a || !b || !c {
					t.Errorf("F39: %t, %t, %t of what was received are left", a, b, c)
				}
				return
			}
			api.wit <- &workload.WITSVIDResponse{}
			until(t, "the WIT-SVID is withdrawn", func() bool { _, _, c := has(); return !c })
			if a, b, _ := has(); !a || !b {
				t.Errorf("%t, %t: the other kind went, too", a, b)
			}
			api.x509 <- &workload.X509SVIDResponse{}
			until(t, "the X.509-SVID is withdrawn, and the bundle with it", func() bool { a, b, _ := has(); return !a && !b })
			api.x509 <- x509
			api.wit <- wit
			until(t, "all are back, on the same streams", func() bool { a, b, c := has(); return a && b && c })
		})
	}
}

func x509Message(t *testing.T, authority *devca.Authority) *workload.X509SVIDResponse {
	t.Helper()
	svid, err := authority.X509SVID("/billing")
	if err != nil {
		t.Fatal(err)
	}
	key, err := svid.KeyDER()
	if err != nil {
		t.Fatal(err)
	}
	return &workload.X509SVIDResponse{Svids: []*workload.X509SVID{
		{SpiffeId: svid.ID.String(), X509Svid: svid.ChainDER(), X509SvidKey: key, Bundle: authority.Roots()[0].Raw},
	}}
}

func witMessage(t *testing.T, authority *devca.Authority) *workload.WITSVIDResponse {
	t.Helper()
	key, jwk := privateJWK(t)
	token, err := authority.WITSVID("/billing", key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return &workload.WITSVIDResponse{Svids: []*workload.WITSVID{{SpiffeId: "spiffe://example.org/billing", WitSvid: token, WitSvidKey: jwk}}}
}

// privateJWK makes a key, also in the form in which the Workload API sends it.
func privateJWK(t *testing.T) (crypto.Signer, string) {
	t.Helper()
	key, err := devca.GenerateKey(devca.P256)
	if err != nil {
		t.Fatal(err)
	}
	public, err := jose.MarshalJWK(key.Public(), "", "", "")
	if err != nil {
		t.Fatal(err)
	}
	secret, err := key.(*ecdsa.PrivateKey).Bytes()
	if err != nil {
		t.Fatal(err)
	}
	var members map[string]string
	if err := json.Unmarshal(public, &members); err != nil {
		t.Fatal(err)
	}
	members["d"] = base64.RawURLEncoding.EncodeToString(secret)
	jwk, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	return key, string(jwk)
}
