package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"unicode"

	"github.com/danielgtaylor/huma/v2"
)

func typeOf[T any]() reflect.Type { return reflect.TypeFor[T]() }

// answerJSON is for operations that have several formats, where huma does not
// choose the answer's type.
func answerJSON(v any) *huma.StreamResponse {
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		body, err := json.Marshal(v)
		if err != nil {
			ctx.SetStatus(http.StatusInternalServerError)
			return
		}
		ctx.SetHeader("Content-Type", "application/json")
		ctx.SetStatus(http.StatusOK)
		ctx.BodyWriter().Write(append(body, '\n')) //nolint:errcheck // the client went away
	}}
}

// maxDepth is how deep a JSON body may be nested; what is asked for has two levels.
const maxDepth = 16

// strictJSON reads bodies: names that are given twice, of which all but one
// would be ignored, and deep nesting are refused.
func strictJSON() huma.Format {
	return huma.Format{Marshal: huma.DefaultJSONFormat.Marshal, Unmarshal: func(data []byte, v any) error {
		if err := screenJSON(data); err != nil {
			return err
		}
		return json.Unmarshal(data, v)
	}}
}

// screenJSON looks at a document before memory is spent on its values.
func screenJSON(data []byte) error {
	d := json.NewDecoder(bytes.NewReader(data))
	var stack []*level
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return nil // what is incomplete fails when it is read
		} else if err != nil {
			return err
		}
		if n := len(stack); n > 0 {
			if err := stack[n-1].note(token); err != nil {
				return err
			}
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			if len(stack) == maxDepth {
				return fmt.Errorf("nested deeper than %d levels", maxDepth)
			}
			l := &level{}
			if token == json.Delim('{') {
				l.names = map[string]bool{}
			}
			stack = append(stack, l)
		case json.Delim('}'), json.Delim(']'):
			stack = stack[:len(stack)-1]
		}
	}
}

// level is an object or array that is open.
type level struct {
	names map[string]bool // of an object, those that were there; nil for an array
	value bool            // the next token is a value, not a name
}

// note takes a token that is directly inside.
func (l *level) note(token json.Token) error {
	if token == json.Delim('}') || l.names == nil {
		return nil
	}
	if name, ok := token.(string); ok && !l.value {
		folded := strings.Map(folded, name)
		if l.names[folded] {
			return fmt.Errorf("the name %s is given twice", clip(name))
		}
		l.names[folded] = true
	}
	l.value = !l.value
	return nil
}

// folded is the first of the letters that differ from r in their case only,
// among which encoding/json sees no difference.
func folded(r rune) rune {
	for {
		next := unicode.SimpleFold(r)
		if next <= r {
			return next
		}
		r = next
	}
}

// maxEcho is how much of a wrong value an error repeats, in bytes.
const maxEcho = 64

// unechoed keeps errors from sending whole bodies back.
func unechoed(_ huma.Context, _ string, v any) (any, error) {
	doc, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	for _, d := range doc.Errors {
		switch x := d.Value.(type) {
		case nil, bool, float64, int:
		case string:
			if len(x) > maxEcho {
				d.Value = clip(x)
			}
		default:
			d.Value = nil
		}
	}
	return v, nil
}
