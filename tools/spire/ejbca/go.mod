// A stand-in for a module that one plug-in of SPIRE links and that cannot be
// had everywhere. The tests do not use that plug-in.
module github.com/Keyfactor/ejbca-go-client-sdk

go 1.26.0
