package proxy

import (
	"fmt"
	"strconv"
	"strings"
)

// Size is a number of bytes that configuration files write as 256KiB or 32MiB.
type Size int64

var sizeUnits = []struct {
	suffix string
	factor int64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"B", 1}, {"", 1}}

// UnmarshalText reads a whole number with an optional unit: B, KB, MB, GB (powers of 1000), KiB, MiB, GiB (of 1024).
func (z *Size) UnmarshalText(b []byte) error {
	s := strings.TrimSpace(string(b))
	for _, u := range sizeUnits {
		digits, ok := strings.CutSuffix(s, u.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
		if err != nil || n < 0 || n > (1<<62)/u.factor {
			break
		}
		*z = Size(n * u.factor)
		return nil
	}
	return fmt.Errorf("bad size %q; write for example 256KiB or 32MiB", clip(s))
}

// String prints the largest binary unit that divides the size.
func (z Size) String() string {
	for i := 2; i >= 0; i-- {
		if u := sizeUnits[i]; z != 0 && int64(z)%u.factor == 0 {
			return strconv.FormatInt(int64(z)/u.factor, 10) + u.suffix
		}
	}
	return strconv.FormatInt(int64(z), 10)
}

// MarshalText prints String.
func (z Size) MarshalText() ([]byte, error) { return []byte(z.String()), nil }
