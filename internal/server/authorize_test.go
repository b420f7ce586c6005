package server

import "testing"

// AK-21 Where the form of a consent page may lead is one redirect URI's own, and says
// nothing else in the header that it stands in.
func TestLeads(t *testing.T) {
	for uri, want := range map[string]string{
		callback:                        "https:",
		"http://127.0.0.1:50001/cb":     "http://127.0.0.1:50001 https:",
		"http://localhost:8/cb":         "http://localhost:8 https:",
		"http://[::1]:8/cb":             "http: https:",
		"com.example.app:/cb":           "com.example.app: https:",
		"com.example.app://done/cb":     "com.example.app://done https:",
		"com.example.app://done;a/cb":   "com.example.app: https:",
		"com.example.app://done,a/cb":   "com.example.app: https:",
		"com.example.app://done/cb;b,c": "com.example.app://done https:",
	} {
		if got := leads(uri); got != want {
			t.Errorf("%s leads to %q, want %q", uri, got, want)
		}
	}
}
