DROP TABLE catalog_requests;
DROP TABLE trials;
DROP TABLE entitlements;
DROP TABLE products;
