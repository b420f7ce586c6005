// Package strictid reads SPIFFE IDs by their bytes, before any URL parser sees
// them: rules SI-1 to SI-12 of docs/requirements.md, and the raw reading of a
// certificate's URI names that XS-26 asks for.
//
// What passes is handed on as go-spiffe's types. What is refused comes back
// with the id of the rule it breaks.
package strictid
