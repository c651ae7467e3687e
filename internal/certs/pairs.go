package certs

import (
	"errors"
	"fmt"
	"strings"
)

// Pairs puts the pair for names that nobody has before the others. An empty
// one is left out.
func Pairs(cert, key string, more []Pair) []Pair {
	if cert == "" {
		return nil
	}
	return append([]Pair{{Cert: cert, Key: key}}, more...)
}

// ValidatePairs reports every mistake in what Pairs is given, each beginning
// with the key it is about. Files may be missing.
func ValidatePairs(cert, key string, more []Pair) error {
	var errs []error
	if (cert == "") != (key == "") {
		errs = append(errs, errors.New("cert: cert and key are both needed"))
	}
	if cert == "" && len(more) > 0 {
		errs = append(errs, errors.New("certificates: cert and key are missing, the pair for names that none of these has"))
	}
	seen := map[string]bool{}
	for i, p := range Pairs("-", "-", more) {
		if i == 0 {
			seen[p.Label(i)] = true
			continue
		}
		at := fmt.Sprintf("certificates[%d]", i-1)
		if p.Cert == "" || p.Key == "" {
			errs = append(errs, fmt.Errorf("%s.cert: cert and key are both needed", at))
		}
		label := p.Label(i)
		if p.Name != "" && (len(p.Name) > 60 || strings.Trim(strings.ToLower(p.Name), "abcdefghijklmnopqrstuvwxyz0123456789._-") != "") {
			errs = append(errs, fmt.Errorf("%s.name: %.60q: 1 to 60 letters, digits, dots, dashes and underscores", at, p.Name))
		} else if seen[label] {
			errs = append(errs, fmt.Errorf("%s.name: %q is there already", at, label))
		}
		seen[label] = true
	}
	return errors.Join(errs...)
}
