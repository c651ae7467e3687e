package certs_test

import (
	"strings"
	"testing"

	"freeway/internal/certs"
)

func TestValidatePairs(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, cert, key string
		more            []certs.Pair
		want            string // the beginning of each line; "": none
	}{
		{"none", "", "", nil, ""},
		{"one", "c", "k", nil, ""},
		{"key missing", "c", "", nil, "cert: "},
		{"no default", "", "", []certs.Pair{{Cert: "c", Key: "k"}}, "certificates: "},
		{"more", "c", "k", []certs.Pair{{Cert: "c", Key: "k"}, {Name: "shop.example", Cert: "c", Key: "k"}}, ""},
		{"half", "c", "k", []certs.Pair{{Cert: "c"}}, "certificates[0].cert: "},
		{"name twice", "c", "k", []certs.Pair{{Name: "a", Cert: "c", Key: "k"}, {Name: "a", Cert: "c", Key: "k"}}, "certificates[1].name: "},
		{"name of the default", "c", "k", []certs.Pair{{Name: "default", Cert: "c", Key: "k"}}, "certificates[0].name: "},
		{"name that is no label", "c", "k", []certs.Pair{{Name: "a b", Cert: "c", Key: "k"}}, "certificates[0].name: "},
	} {
		err := certs.ValidatePairs(tt.cert, tt.key, tt.more)
		if (err == nil) != (tt.want == "") || err != nil && (!strings.HasPrefix(err.Error(), tt.want) || strings.Contains(err.Error(), "\n")) {
			t.Errorf("%s: ValidatePairs = %v, want %q", tt.name, err, tt.want)
		}
	}
}
