package load

import "testing"

// Load goes to loopback, and each refusal stands beside what is accepted.
func TestTarget(t *testing.T) {
	for _, row := range []struct {
		target string
		ok     bool
	}{
		{"127.0.0.1:8443", true},
		{"127.0.0.8:8443", true},
		{"[::1]:8443", true},
		{"10.0.0.1:8443", false},
		{"192.0.2.1:8443", false},
		{"[2001:db8::1]:8443", false},
		{"0.0.0.0:8443", false},
		{"[::]:8443", false},
		{"[::ffff:127.0.0.1]:8443", false},
		{"[::ffff:10.0.0.1]:8443", false},
		{"[::1%lo]:8443", false},
		{"example.com:8443", false},
		{"localhost:8443", false},
		{"127.0.0.1.example.com:8443", false},
		{"127.1:8443", false},
		{"2130706433:8443", false},
		{"127.0.0.1", false},
		{"127.0.0.1:0", false},
		{"https://127.0.0.1:8443", false},
		{"", false},
	} {
		t.Run(row.target, func(t *testing.T) {
			if _, err := Target(row.target); (err == nil) != row.ok {
				t.Errorf("accepted: %t, want %t", err == nil, row.ok)
			}
		})
	}
}

func TestSources(t *testing.T) {
	got, err := Sources("127.0.0.1,127.0.0.2,::1")
	if err != nil || len(got) != 3 {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"10.0.0.1", "127.0.0.1,example.com", "0.0.0.0"} {
		if _, err := Sources(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}
