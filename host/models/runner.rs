//! Makes a test of each model. Models are in the library because they use what is
//! private to the packages, and it is compiled without those packages' own tests.

macro_rules! models {
    ($($model:ident,)*) => {
        $(
            #[test]
            fn $model() {
                models::$model();
            }
        )*
    };
}
