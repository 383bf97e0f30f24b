"""The external data source: batches of the Covertype data, handed out over HTTP as time goes by."""
